import { z } from 'zod'
import type { Chunk } from './chunk.ts'
import { RejectReason } from './conversion.ts'
import { ChunkId, FileId } from './ids.ts'
import { Intent } from './run.ts'
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
  table: string
  token: string
}

export type CommitAnswer =
  /** Stored; `intent` is what is wanted of the run from now on. */
  | { kind: 'committed'; intent: Intent }
  /** Another worker holds the chunk now; nothing was stored. */
  | { kind: 'lock_lost' }

export interface ChunkLedger {
  checkpoint(chunk: Chunk): Promise<Checkpoint | null>
  /**
   * Stores cursor, tally and rejected rows together, or nothing. A checkpoint that is not further than the stored one
   * changes nothing: a repeated batch counts once.
   */
  commit(claim: Claim, checkpoint: Checkpoint, rejected: readonly RejectedRow[]): Promise<CommitAnswer>
}
