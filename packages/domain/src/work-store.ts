import type { FileVersion } from './export.ts'

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
