import { z } from 'zod'
import { ChunkId, type RunId } from './ids.ts'
import type { Waiting } from './run.ts'
import type { TransportName } from './sink.ts'
import { Count } from './tally.ts'

/** What a worker says of itself every second while it serves a run. Names places, no rows. */
export const Pulse = z.object({
  /** Host and process. */
  worker: z.string(),
  atMs: Count,
  startedAtMs: Count,
  memoryBytes: Count,
  /** Rows a second that it has brought to their ends, since the pulse before. */
  rate: z.number().nonnegative(),
  /** Those it has in hand. */
  chunks: z.array(z.object({ id: ChunkId, table: z.string(), firstRow: Count, rows: Count, read: Count })),
  /** When it last took a chunk, got bytes of it, committed a batch, or had nothing to do. */
  movedAtMs: Count,
  /** What its chunks are at that may take longer than all else: bytes of a slow bucket, or PostHog's answer. */
  awaits: z.enum(['reading', 'sending']).nullable().default(null),
})
export type Pulse = z.infer<typeof Pulse>

/** Upper bounds of the histogram of answering times, in seconds, as Prometheus has them; the last is without end. */
export const answerSeconds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const

/** PostHog's answers to the requests of a run. */
export interface Answers {
  /** HTTP status, or `none` where no answer came. */
  byStatus: Readonly<Record<string, number>>
  /** How many were answered within each of `answerSeconds`, longer than the one before; then the longer ones. */
  byTime: readonly number[]
  /** Of all answering times. */
  totalMs: number
}

export const noAnswers: Answers = { byStatus: {}, byTime: [...answerSeconds, 0].map(() => 0), totalMs: 0 }

/** What workers say of themselves while they serve a run, and of PostHog's answers. */
export interface WorkerLedger {
  /**
   * Forgotten when not repeated within a minute. Its moments may be of any one clock: they are kept by the one that all
   * processes share, as if `atMs` was now.
   */
  setPulse(run: RunId, pulse: Pulse): Promise<void>
  /** By the names of the workers. */
  pulses(run: RunId): Promise<Pulse[]>
  /** The worker has ended as it should. */
  removePulse(run: RunId, worker: string): Promise<void>
  /** Says what a worker waits for, or that it waits no longer. Forgotten when not repeated within 30 s. */
  setWaiting(run: RunId, worker: string, waiting: Waiting | null): Promise<void>
  addAnswers(run: RunId, answers: Answers): Promise<void>
  answers(run: RunId): Promise<Answers>
  /** Says how a worker sends and why; one line in the timeline when the last one sent otherwise. */
  setTransport(run: RunId, transport: TransportName, reason: string): Promise<void>
}
