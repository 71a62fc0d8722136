import { z } from 'zod'
import type { Chunk } from './chunk.ts'
import { RejectReason } from './conversion.ts'
import type { ExportFile } from './export.ts'
import { ChunkId, FileId, type RunId } from './ids.ts'
import type { Pace } from './pace.ts'
import type { Answers, Pulse } from './pulse.ts'
import type { Cursor } from './reading.ts'
import type { RetryLedger } from './retry.ts'
import { type HistoryPoint, Intent, type Run, type RunProgress, type Waiting } from './run.ts'
import type { TransportName } from './sink.ts'
import type { Phase } from './table.ts'
import { Tally } from './tally.ts'
import type { TimelineEntry } from './timeline.ts'
import type { PostHogVerification, SourceVerification, Verification } from './verification.ts'

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
}

/** Events of one name and UTC day. */
export interface DayCount {
  event: string
  /** Days since 1970-01-01. */
  day: number
  count: number
}

/** What a slice sent, and where it started: only what follows the stored checkpoint is new. */
export interface SentSlice {
  from: Cursor
  counts: readonly DayCount[]
}

/** What was sent of one table. */
export interface SentTable {
  table: string
  /** Of the tally. */
  rows: number
  /**
   * By event and day, in days since 1970-01-01. They add up to less than `rows` where some were not counted: a run of an
   * older version, a Redis that went back in time, or more different events than fit.
   */
  events: readonly { event: string; days: ReadonlyMap<number, number> }[]
}

export type CommitAnswer =
  /** Stored; `intent` is what is wanted of the run from now on. */
  | { kind: 'committed'; intent: Intent }
  /** Another worker holds the chunk now; nothing was stored. */
  | { kind: 'lock_lost' }

export interface ChunkLedger {
  checkpoint(chunk: Chunk): Promise<Checkpoint | null>
  /**
   * Stores cursor, tally, rejected rows and counts by day together, or nothing. A checkpoint that is not further than the
   * stored one changes nothing: a repeated batch counts once.
   */
  commit(claim: Claim, checkpoint: Checkpoint, rejected: readonly RejectedRow[], sent: SentSlice): Promise<CommitAnswer>
}

/** Which identities a run was resolved to, and from what. Both SHA-256 in hex. */
export const IdentitiesRecord = z.object({
  /** Of the file that workers load. */
  resolved: z.string(),
  /** Of the names and versions of the files that they were resolved from. */
  files: z.string(),
})
export type IdentitiesRecord = z.infer<typeof IdentitiesRecord>

/** What a file has been cut into. */
export interface FilePlan {
  chunks: number
  rows: number
}

export interface RunLedger extends ChunkLedger, RetryLedger {
  /** Stores the run unless one of that name exists, as `by`'s; answers the stored one. */
  createRun(run: Run, by: string): Promise<Run>
  run(id: RunId): Promise<Run | null>
  /** Newest first. */
  runs(): Promise<Run[]>
  /** Makes a file known before its first chunk is enqueued. */
  addFile(run: RunId, file: ExportFile): Promise<void>
  file(run: RunId, file: FileId): Promise<ExportFile | null>
  files(run: RunId): Promise<ExportFile[]>
  /** Adds what a file was cut into to the run's plan, once however often it is said. */
  planFile(run: RunId, file: ExportFile, plan: FilePlan): Promise<void>
  filePlan(run: RunId, file: FileId): Promise<FilePlan | null>
  /** Of every file: what it was cut into, null while it is not cut whole, and how many of its rows have ended. */
  fileProgress(run: RunId): Promise<Map<FileId, { plan: FilePlan | null; read: number }>>
  /** More chunks may be planned for the phase: it is not complete, whatever is done. */
  unseal(run: RunId, phase: Phase): Promise<void>
  /**
   * No more chunks will be planned for the phase.
   * @returns false, and seals nothing, when the ledger does not hold a plan of so many chunks: it has forgotten some
   */
  seal(run: RunId, phase: Phase, chunks: number): Promise<boolean>
  /** Which of the chunks have no row left to read. */
  finished(run: RunId, chunks: readonly ChunkId[]): Promise<Set<ChunkId>>
  setIdentities(run: RunId, identities: IdentitiesRecord): Promise<void>
  identities(run: RunId): Promise<IdentitiesRecord | null>
  /** Stores what is wanted from now on and, in the timeline, who wants it. */
  setIntent(run: RunId, intent: Intent): Promise<void>
  /** Pauses a run that is wanted to run, and leaves one that a person has paused or cancelled as it is. */
  pauseIfRunning(run: RunId, pause: Extract<Intent, { kind: 'pause' }>): Promise<void>
  intent(run: RunId): Promise<Intent>
  /** Changes how fast all workers of the run send together, within a second, and says who did in the timeline. */
  setPace(run: RunId, pace: Pace, by: string): Promise<void>
  progress(run: RunId): Promise<RunProgress>
  sentTables(run: RunId): Promise<SentTable[]>
  /** Keeps it in the place of the last of its kind, and in the timeline. */
  setVerification(run: RunId, verification: Verification): Promise<void>
  /** The last of each kind. */
  verifications(run: RunId): Promise<{ posthog: PostHogVerification | null; source: SourceVerification | null }>
  /** Says what a worker waits for, or that it waits no longer. Forgotten when not repeated within 30 s. */
  setWaiting(run: RunId, worker: string, waiting: Waiting | null): Promise<void>
  /** Forgotten when not repeated within a minute. */
  setPulse(run: RunId, pulse: Pulse): Promise<void>
  /** By the names of the workers. */
  pulses(run: RunId): Promise<Pulse[]>
  /** The worker has ended as it should. */
  removePulse(run: RunId, worker: string): Promise<void>
  addAnswers(run: RunId, answers: Answers): Promise<void>
  answers(run: RunId): Promise<Answers>
  /** Says how a worker sends and why; one line in the timeline when the last one sent otherwise. */
  setTransport(run: RunId, transport: TransportName, reason: string): Promise<void>
  /** From the run's beginning on, oldest first: at most 1440 points, as far apart as that allows. */
  history(run: RunId): Promise<HistoryPoint[]>
  /** The newest point of the history; null before the first. */
  latestPoint(run: RunId): Promise<HistoryPoint | null>
  record(run: RunId, entry: TimelineEntry): Promise<void>
  /** Oldest first; the latest 5000. */
  timeline(run: RunId): Promise<TimelineEntry[]>
}
