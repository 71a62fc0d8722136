import { z } from 'zod'
import { ChunkId, type RunId } from './ids.ts'
import { Pace } from './pace.ts'
import { RetryOutcome, RetryWanted } from './retry.ts'
import { TransportName } from './sink.ts'
import { Phase } from './table.ts'
import { Verdict } from './verification.ts'

/** How a table of a warehouse came into files. */
export const UnloadedTable = z.object({
  /** What it was read by, in words: columns, windows, the name of a query. */
  statement: z.string(),
  /** The moments of the first snapshot and of the last one, by the clock of the machine that unloaded. */
  sinceMs: z.number().int(),
  untilMs: z.number().int(),
  files: z.number().int().nonnegative(),
  bytes: z.number().int().nonnegative(),
})
export type UnloadedTable = z.infer<typeof UnloadedTable>

// What a Date can hold.
const moment = { atMs: z.number().int().min(0).max(8.64e15) }
/** Who did it: a user's login name, the dashboard's, or `heapferry` itself. */
const By = z.string()

/** What happened to a run, and who or what did it: the audit trail, and the history that reports and pages show. */
export const TimelineEntry = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('created'), ...moment, by: By }),
  z.object({ kind: z.literal('paused'), ...moment, by: By, reason: z.string() }),
  z.object({ kind: z.literal('resumed'), ...moment, by: By }),
  z.object({ kind: z.literal('cancelled'), ...moment, by: By }),
  z.object({
    kind: z.literal('verified'),
    ...moment,
    by: By,
    against: z.enum(['posthog', 'source']),
    verdict: Verdict,
  }),
  /** What was wanted on a page did not come about. */
  z.object({ kind: z.literal('verification_failed'), ...moment, by: By, detail: z.string() }),
  /** A warehouse begins to be unloaded, or goes on: `rows` of `of` are in files. */
  z.object({
    kind: z.literal('unloading'),
    ...moment,
    by: By,
    tables: z.number().int().nonnegative(),
    rows: z.number().int().nonnegative(),
    of: z.number().int().nonnegative(),
  }),
  /** All of a table is in files; `notice` tells what is to be known of it. */
  z.object({
    kind: z.literal('unloaded'),
    ...moment,
    table: z.string(),
    rows: z.number().int().nonnegative(),
    notice: z.string().optional(),
    unloaded: UnloadedTable.optional(),
  }),
  /** Every chunk of the phase is done. */
  z.object({ kind: z.literal('phase_completed'), ...moment, phase: Phase }),
  /** A worker was told "later" by PostHog, or nothing, from `atMs` to `untilMs`. */
  z.object({ kind: z.literal('waited'), ...moment, untilMs: z.number().int(), worker: z.string(), detail: z.string() }),
  /** Rows that had been rejected, or held back, are to be sent again: it begins. */
  z.object({ kind: z.literal('retry_wanted'), ...moment, by: By, ...RetryWanted.shape }),
  /** What was wanted on the page did not come about. */
  z.object({ kind: z.literal('retry_failed'), ...moment, detail: z.string() }),
  /** It is over and has taken up no row, or it was cut off, after what it has `retried`. */
  z.object({ kind: z.literal('retry_ended'), ...moment, by: By, how: z.enum(['done', 'cut_off']) }),
  /** Rows that had been rejected, or held back, were taken up again. */
  z.object({ kind: z.literal('retried'), ...moment, by: By, ...RetryOutcome.shape }),
  /** By a person, from a page. */
  z.object({
    kind: z.literal('downloaded'),
    ...moment,
    by: By,
    what: z.enum(['report', 'rejected_rows']),
    table: z.string().optional(),
  }),
  /** Somebody wanted them tried again, in Bull Board: one failed chunk, or all of a phase. */
  z.object({ kind: z.literal('chunks_retried'), ...moment, by: By, phase: Phase, chunk: ChunkId.optional() }),
  /** What was kept of the run in the work store is deleted: its stage, if it had one, and what was made for it. */
  z.object({
    kind: z.literal('cleaned'),
    ...moment,
    by: By,
    files: z.number().int().nonnegative(),
    bytes: z.number().int().nonnegative(),
    /** Rows that were unloaded for it cannot be read any more. */
    stage: z.boolean(),
  }),
  z.object({ kind: z.literal('pace_changed'), ...moment, by: By, from: Pace, to: Pace }),
  z.object({ kind: z.literal('transport_chosen'), ...moment, transport: TransportName, reason: z.string() }),
  /** What stands there is no entry. `text` is how it begins; `atMs` is of the entry before where it tells no time. */
  z.object({ kind: z.literal('unreadable'), ...moment, text: z.string() }),
])
export type TimelineEntry = z.infer<typeof TimelineEntry>

/** Of all rows, at some moment of a run. */
export interface HistoryPoint {
  atMs: number
  read: number
  sent: number
  rejected: number
}

/** What happened to a run, and how far it was when. */
export interface TimelineLedger {
  /** The moment by the one clock that all processes of the run share, in ms since 1970: what entries tell. */
  nowMs(run: RunId): Promise<number>
  record(run: RunId, entry: TimelineEntry): Promise<void>
  /** Oldest first; the latest 5000. */
  timeline(run: RunId): Promise<TimelineEntry[]>
  /** From the run's beginning on, oldest first: at most 1440 points, as far apart as that allows. */
  history(run: RunId): Promise<HistoryPoint[]>
  /** The newest point of the history; null before the first. */
  latestPoint(run: RunId): Promise<HistoryPoint | null>
}
