import { z } from 'zod'
import type { DayCount, RejectedRow } from './chunk-ledger.ts'
import { RejectReason, SkipReason } from './conversion.ts'
import type { ChunkId, RunId } from './ids.ts'
import { Count, type Tally } from './tally.ts'

/** What a retry has done so far. */
export const RetryOutcome = z.object({
  /** Rows by what had become of them before: `held_back` ones were skipped, all others rejected. */
  reasons: z.partialRecord(z.enum([...RejectReason.options, SkipReason.enum.held_back]), Count),
  sent: Count,
  skipped: Count,
  /** Rejected again, if for another reason. */
  rejected: Count,
})
export type RetryOutcome = z.infer<typeof RetryOutcome>

/** The right to retry rows of a run, which one process has at a time. `token` is its own. */
export interface RetryHold {
  run: RunId
  token: string
}

/** Which rows somebody wants to be sent again; all that were rejected where it says nothing. */
export const RetryWanted = z.object({
  table: z.string().optional(),
  reason: z.string().optional(),
  /** Files with mended rows, as they were typed. */
  from: z.array(z.string()).optional(),
})
export type RetryWanted = z.infer<typeof RetryWanted>

/** A retry that goes on now. */
export interface RetryUnderWay {
  by: string
  sinceMs: number
  /** Until when it has the right to, unless it says that it still lives. */
  untilMs: number
  /** Rows that it is to look at; null before they are counted. */
  rows: number | null
  /** How many of them it has looked at. */
  looked: number
  outcome: RetryOutcome
}

/** Names a row of a run. */
export type RowKey = Pick<RejectedRow, 'chunk' | 'row'>

/** A row that is about to be sent. `sentAs` is the same for the same event only; null of a row that is not sent. */
interface AnnouncedRow extends RowKey {
  sentAs: string | null
}

/** Why a row must not be sent again now. */
export type RetryObstacle =
  /** It is not rejected, or not any more. */
  | 'not_rejected'
  /** A worker may still be at its chunk. */
  | 'chunk_not_done'
  /** A retry that was cut off may have sent it, and as another event. */
  | 'sent_otherwise'

/** How a row that was rejected has ended now. */
export type RetriedRow =
  /** As an event of this name and UTC day, in days since 1970-01-01. */
  | ({ kind: 'sent'; table: string; event: string; day: number } & RowKey)
  | ({ kind: 'skipped'; reason: SkipReason } & RowKey)
  | ({ kind: 'rejected' } & RejectedRow)

/** How far a chunk is whose rows were younger than 48 hours at some moment. */
export const HeldBack = z.object({
  /** What was younger than 48 hours then is held back. */
  sinceMs: z.number().int(),
  /** Rows before this position have been looked at as of `toMs` already; null where none have. */
  pass: z.object({ toMs: z.number().int(), cursor: Count, rows: Count }).nullable(),
})
export type HeldBack = z.infer<typeof HeldBack>

/** How held back rows have ended. */
export interface EndedRows {
  sent: readonly DayCount[]
  rejected: readonly RejectedRow[]
  warned: Tally['warned']
}

/** Rows that were not sent. All in no order. */
export interface RejectedLedger {
  rejectedRows(run: RunId): AsyncIterable<RejectedRow>
  /** Null for rows that are not rejected. */
  rejectedAt(run: RunId, rows: readonly RowKey[]): Promise<(RejectedRow | null)[]>
  /** Rows that were rejected once and have been sent or skipped by a retry. */
  retriedRows(run: RunId): AsyncIterable<RowKey>
}

/** Who may retry rows of a run. */
export interface RetryHoldLedger {
  /**
   * Makes `hold` the one, as `by`'s, unless somebody else has it; who wants what goes into the timeline. Who has it already
   * keeps it, as whoever's it was.
   * @returns who else has it, else null
   */
  takeRetry(hold: RetryHold, by: string, wanted?: RetryWanted): Promise<{ by: string; sinceMs: number } | null>
  /**
   * To be said again every few seconds, or others may take the hold.
   * @throws OperatorError when another has it
   */
  keepRetry(hold: RetryHold, progress?: { rows: number; looked: number }): Promise<void>
  /** Null where nobody retries. */
  retryUnderWay(run: RunId): Promise<RetryUnderWay | null>
  /**
   * Gives the hold back. That it is over, and what was done, goes into the timeline; of a retry that was cut off, when the
   * next one begins.
   * @throws OperatorError when another has it
   */
  endRetry(hold: RetryHold): Promise<RetryOutcome>
}

/**
 * How rejected rows are sent after all. They are of chunks that are done, which no worker touches any more; what changes
 * something throws an OperatorError, and changes nothing, when the hold is another's.
 */
export interface RetryLedger {
  /**
   * Says what rows are sent as, before they are: should this process die before it has settled them, the next one knows.
   * @param anyway also of those that may have been sent otherwise
   * @returns what is in the way of each; null of those that may be sent
   */
  announce(hold: RetryHold, rows: readonly AnnouncedRow[], anyway: boolean): Promise<(RetryObstacle | null)[]>
  /**
   * Stores how rows have ended: takes them out of the rejected ones, or writes there why they are now, and moves the
   * counters of tables, chunks and days with them, all or nothing.
   * @param batch counted from 1 by the holder; one that was settled before changes nothing
   * @param warned how many of the sent ones PostHog remarked on
   */
  settle(
    hold: RetryHold,
    batch: number,
    rows: readonly RetriedRow[],
    warned?: { table: string; counts: Tally['warned'] },
  ): Promise<void>
}

/** How rows that were younger than 48 hours are sent when they no longer are; under the same conditions. */
export interface HeldBackLedger {
  /** Chunks that are done and have held back rows. In no order. */
  heldBackChunks(run: RunId): AsyncIterable<{ chunk: ChunkId; heldBack: HeldBack | null }>
  /** Stores how held back rows of a chunk have ended, and how far it is, in place of how far it was; or nothing. */
  settleHeldBack(
    hold: RetryHold,
    chunk: { id: ChunkId; table: string },
    howFar: { was: HeldBack | null; is: HeldBack },
    ended: EndedRows,
  ): Promise<void>
}
