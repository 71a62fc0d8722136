import { z } from 'zod'
import type { Chunk } from './chunk.ts'
import { RejectReason } from './conversion.ts'
import type { ExportFile } from './export.ts'
import { ChunkId, FileId } from './ids.ts'
import type { Cursor } from './reading.ts'
import type { Intent } from './run.ts'
import { Tally } from './tally.ts'

/** How far a chunk is: everything before the cursor has ended as the tally says. */
export const Checkpoint = z.object({
  cursor: z.number().int().nonnegative(),
  tally: Tally,
  /** The chunk has no row after the cursor. */
  done: z.boolean(),
})
export type Checkpoint = z.infer<typeof Checkpoint>

/** A row that was not sent, by place: the row itself stays in the export. */
export const RejectedRow = z.object({
  chunk: ChunkId,
  file: FileId,
  table: z.string(),
  row: z.number().int().positive(),
  byte: z.number().int().nonnegative(),
  reason: RejectReason,
  detail: z.string(),
})
export type RejectedRow = z.infer<typeof RejectedRow>

/** A worker's hold on a chunk. `token` is the queue's lock: whoever lost it must not commit. */
export interface Claim {
  chunk: Chunk
  file: ExportFile
  token: string
  /** Of the run that the chunk is worked on for: one that was created anew under its name has another. */
  runCreatedAtMs?: number | undefined
}

/** Events of one name and UTC day. */
export interface DayCount {
  event: string
  /** Days since 1970-01-01. */
  day: number
  count: number
}

/** What a slice sent, and where it started, which is where the stored checkpoint must end. */
export interface SentSlice {
  from: Cursor
  counts: readonly DayCount[]
}

export type CommitAnswer =
  /** Stored; `intent` is what is wanted of the run from now on. */
  | { kind: 'committed'; intent: Intent }
  /** Another worker holds the chunk now; nothing was stored. */
  | { kind: 'lock_lost' }
  /** The stored checkpoint is not where the slice starts, as after a fail-over to a replica that lags; nothing was stored. */
  | { kind: 'stale' }
  /** The run was forgotten, or is another one under the same name by now; nothing was stored. */
  | { kind: 'other_run' }
  /** The chunk is not one that was planned, or has another range or number of rows; nothing was stored. */
  | { kind: 'not_planned' }

/** How a worker's turn at a chunk ended. */
export type ChunkOutcome =
  /** Every row has ended: the chunk is done. */
  | { kind: 'finished' }
  /** Stopped between two batches: whoever takes the chunk next goes on from the last commit. */
  | { kind: 'interrupted' }
  /** Another worker holds the chunk. */
  | { kind: 'lock_lost' }
  /** The chunk is not one that was planned: whoever made or altered its job was not the producer. */
  | { kind: 'not_planned' }

/** How far chunks are: what a worker reads before it begins, and stores after every batch. */
export interface ChunkLedger {
  /** Whether the producer has planned this very chunk. True for all of files that were planned by an older version. */
  isPlanned(chunk: Chunk): Promise<boolean>
  checkpoint(chunk: Chunk): Promise<Checkpoint | null>
  /**
   * Stores cursor, tally, rejected rows and counts by day together, or nothing. A checkpoint that is not further than the
   * stored one changes nothing: a repeated batch counts once.
   */
  commit(claim: Claim, checkpoint: Checkpoint, rejected: readonly RejectedRow[], sent: SentSlice): Promise<CommitAnswer>
}
