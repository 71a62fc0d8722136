import type { Chunk } from './chunk.ts'
import type { ExportFile } from './export.ts'
import type { ChunkId, FileId, RunId } from './ids.ts'
import type { Phase } from './table.ts'

/** What a file has been cut into. */
export interface FilePlan {
  chunks: number
  rows: number
}

/** The files that a run was made from. */
export interface FileLedger {
  file(run: RunId, file: FileId): Promise<ExportFile | null>
  files(run: RunId): Promise<ExportFile[]>
  /** How many files there are, and how many of them are cut whole. None of it is taken back. */
  fileCounts(run: RunId): Promise<{ files: number; planned: number }>
  /** What the files that are cut whole were cut into. */
  filePlans(run: RunId): Promise<Map<FileId, FilePlan>>
  /** How many rows of a file have ended; of those that are not there, none. */
  fileRows(run: RunId): Promise<Map<FileId, number>>
}

/** What a producer stores while it cuts files into chunks, so that it may die anywhere and begin again. */
export interface PlanLedger extends FileLedger {
  /** A producer is at work. Repeated every few seconds; silence means that it has died. */
  producing(run: RunId): Promise<void>
  /** Makes a file known before its first chunk is enqueued. */
  addFile(run: RunId, file: ExportFile): Promise<void>
  /** Makes chunks of one file known before they are enqueued: of that file no others may commit. */
  planChunks(run: RunId, chunks: readonly Chunk[]): Promise<void>
  /** Adds what a file was cut into to the run's plan, once however often it is said. */
  planFile(run: RunId, file: ExportFile, plan: FilePlan): Promise<void>
  filePlan(run: RunId, file: FileId): Promise<FilePlan | null>
  /** More chunks may be planned for the phase: it is not complete, whatever is done. */
  unseal(run: RunId, phase: Phase): Promise<void>
  /**
   * No more chunks will be planned for the phase.
   * @returns false, and seals nothing, when the ledger does not hold a plan of so many chunks: it has forgotten some
   */
  seal(run: RunId, phase: Phase, chunks: number): Promise<boolean>
  /** Which of the chunks have no row left to read. */
  finished(run: RunId, chunks: readonly ChunkId[]): Promise<Set<ChunkId>>
}
