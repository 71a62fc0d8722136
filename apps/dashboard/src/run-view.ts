import type {
  Answers,
  HistoryPoint,
  QueueStates,
  RetryHoldLedger,
  RetryUnderWay,
  Run,
  RunLedger,
  TimelineEntry,
  TimelineLedger,
  WorkerLedger,
} from '@heapferry/domain'
import { readRun, type RunStatus, type ServingWorker } from '@heapferry/migration'
import { type Redis, redisMemory } from '@heapferry/queue'

/** What the page of a run shows. */
export interface RunView {
  run: Run
  /** When it was read, by the clock that all moments of it are told by. */
  nowMs: number
  status: RunStatus
  workers: readonly ServingWorker[]
  answers: Answers
  /** Oldest first. */
  timeline: readonly TimelineEntry[]
  /** Null where none goes on. */
  retry: RetryUnderWay | null
  /** The newest; null before the first batch. */
  latest: HistoryPoint | null
  redis: { usedBytes: number; maxBytes: number | null }
}

export async function readRunView(
  run: Run,
  {
    redis,
    ledger,
  }: { redis: Redis; ledger: RunLedger & WorkerLedger & TimelineLedger & QueueStates & RetryHoldLedger },
): Promise<RunView> {
  const [{ status, progress, workers }, answers, timeline, retry, latest, memory] = await Promise.all([
    readRun(run.id, ledger),
    ledger.answers(run.id),
    ledger.timeline(run.id),
    ledger.retryUnderWay(run.id),
    ledger.latestPoint(run.id),
    redisMemory(redis),
  ])
  return { run, nowMs: progress.nowMs, status, workers, answers, timeline, retry, latest, redis: memory }
}
