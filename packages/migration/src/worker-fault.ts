import type { Pulse, QueueState, RunProgress } from '@heapferry/domain'
import { duration } from './wording.ts'

// Far longer than a slice takes to be converted and committed, and a chunk to be taken.
const stuckAfterMs = 10_000
// Longer than a request may go without an answer, to PostHog or to a bucket; what they make workers wait for then is told.
const stuckAwaitingAfterMs = 70_000
const silentAfterMs = 10_000

/** A worker that says it serves the run. */
export interface ServingWorker {
  pulse: Pulse
  /** What is wrong with it, for a person; null where nothing is. */
  fault: string | null
}

/** What is wrong with a worker, for a person; null where nothing is. One that has ended says nothing more. */
export function workerFault(
  { atMs, movedAtMs, chunks, awaits }: Pulse,
  { intent }: RunProgress,
  queue: QueueState,
  nowMs: number,
): string | null {
  if (nowMs - atMs > silentAfterMs) return `has not reported for ${duration((nowMs - atMs) / 1000)}`
  if (intent.kind !== 'run') return null
  if (nowMs - movedAtMs < (awaits === null ? stuckAfterMs : stuckAwaitingAfterMs)) return null
  const still = duration((nowMs - movedAtMs) / 1000)
  if (awaits === 'reading') return `has got no byte of the export for ${still}`
  if (chunks.length > 0) return `has made no progress for ${still}`
  return queue.waiting > 0 && !queue.paused
    ? `has taken no chunk for ${still}, although ${queue.waiting} ${queue.waiting === 1 ? 'is' : 'are'} waiting`
    : null
}
