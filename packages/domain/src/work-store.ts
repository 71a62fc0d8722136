import type { FileVersion } from './export.ts'
import type { RunId } from './ids.ts'

/** Where producer and workers of a run share what is too large or too personal for Redis. Paths are relative, with `/`. */
export interface WorkStore {
  /** A folder, or `s3://bucket/prefix`. */
  readonly root: string
  /**
   * A whole file; its bytes begin at a multiple of eight in memory, so that numbers can be read in place.
   * @throws OperatorError when it is not there, or cannot be read
   */
  read(path: string): Promise<Uint8Array>
  /**
   * A file of which parts are to be read.
   * @throws OperatorError when it is not there, or may not be read
   */
  open(path: string): Promise<StoredFile>
  /**
   * Writes a file whole or not at all; one that is there is replaced.
   * @throws OperatorError when its disk is full, or may not be written to
   */
  put(path: string, parts: readonly Uint8Array[]): Promise<void>
  /** The same of a file of rows, to be read as those of an export are. The same bytes are the same version. */
  putTable(path: string, parts: readonly Uint8Array[]): Promise<FileVersion>
  close(): void
}

export interface StoredFile {
  sizeBytes: number
  /** @throws SourceChanged when the file was replaced since it was opened */
  read(at: number, bytes: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** What is kept of a run in the work store. */
export const keptKinds = ['stage', 'identities', 'sessions', 'first_touch', 'grant'] as const
export type Kept = (typeof keptKinds)[number]

// Whoever keeps something more says so here: by these alone it is told what heapferry has made, and may delete.
const keptPaths: Readonly<Record<Exclude<Kept, 'grant'>, RegExp>> = {
  stage: /^stage\/(?:stage\.json|[a-z0-9_-]+\/\d{6,}-\d{6,}-[0-9a-f]{8}\.avro)$/,
  identities: /^identities$/,
  sessions: /^sessions\/(?:head|\d{5,})$/,
  first_touch: /^first_touch\/(?:files|from-\w+-\d{5,}\.csv)$/,
}

/** As what heapferry keeps a file of the work store for a run, also where it was killed while it wrote it; null where it does not. */
export function keptAs(run: RunId, path: string): Kept | null {
  const [folder = '', ...below] = path.replace(/(^|\/)\.([^/]+)\.\d+$/, '$1$2').split('/')
  const name = below.join('/')
  if (folder === '.grants') return name === run ? 'grant' : null
  if (folder !== run) return null
  if (keptPaths.stage.test(name)) return 'stage'
  if (keptPaths.identities.test(name)) return 'identities'
  if (keptPaths.sessions.test(name)) return 'sessions'
  return keptPaths.first_touch.test(name) ? 'first_touch' : null
}

/** Files of a work store, as somebody sees them who deletes them. No export is opened so. */
export interface KeptFiles {
  readonly root: string
  /** Of a run, whoever made them; hidden ones too. None where nothing is there. */
  ofRun(run: RunId): Promise<{ path: string; sizeBytes: number }[]>
  /** Deletes a file, and the folders that are empty then. One that is gone is no fault. */
  remove(path: string): Promise<void>
  close(): void
}
