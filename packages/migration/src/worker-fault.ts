import type { Pulse, QueueState, RunProgress } from '@heapferry/domain'
import { duration } from './wording.ts'

// Far longer than the slowest slice takes to be read, converted and committed; what PostHog makes workers wait for is told.
const stuckAfterMs = 60_000
const silentAfterMs = 10_000

/** A worker that says it serves the run. */
export interface ServingWorker {
  pulse: Pulse
  /** What is wrong with it, for a person; null where nothing is. */
  fault: string | null
}

/** What is wrong with a worker, for a person; null where nothing is. One that has ended says nothing more. */
export function workerFault(
  { atMs, movedAtMs, chunks }: Pulse,
  { intent }: RunProgress,
  queue: QueueState,
  nowMs: number,
): string | null {
  if (nowMs - atMs > silentAfterMs) return `has not reported for ${duration((nowMs - atMs) / 1000)}`
  if (intent.kind !== 'run' || nowMs - movedAtMs < stuckAfterMs) return null
  const still = duration((nowMs - movedAtMs) / 1000)
  if (chunks.length > 0) return `has made no progress for ${still}`
  return queue.waiting > 0 && !queue.paused
    ? `has taken no chunk for ${still}, although ${queue.waiting} ${queue.waiting === 1 ? 'is' : 'are'} waiting`
    : null
}
