import type {
  Answers,
  HistoryPoint,
  Pulse,
  QueueStates,
  Run,
  RunLedger,
  TimelineEntry,
  TimelineLedger,
  WorkerLedger,
} from '@heapferry/domain'
import { readRun, type RunStatus, workerFault } from '@heapferry/migration'
import { type Redis, redisMemory } from '@heapferry/queue'

/** A worker that says it serves the run. */
export interface ShownWorker {
  pulse: Pulse
  /** What is wrong with it; null where nothing is. */
  fault: string | null
}

/** What the page of a run shows. */
export interface RunView {
  run: Run
  status: RunStatus
  workers: readonly ShownWorker[]
  answers: Answers
  /** Oldest first. */
  timeline: readonly TimelineEntry[]
  /** The newest; null before the first batch. */
  latest: HistoryPoint | null
  redis: { usedBytes: number; maxBytes: number | null }
}

export async function readRunView(
  run: Run,
  { redis, ledger }: { redis: Redis; ledger: RunLedger & WorkerLedger & TimelineLedger & QueueStates },
): Promise<RunView> {
  const nowMs = Date.now()
  const [{ status, progress, queue, pulses }, answers, timeline, latest, memory] = await Promise.all([
    readRun(run.id, ledger, Date.now),
    ledger.answers(run.id),
    ledger.timeline(run.id),
    ledger.latestPoint(run.id),
    redisMemory(redis),
  ])
  const workers = pulses.map((pulse) => ({ pulse, fault: workerFault(pulse, progress, queue, nowMs) }))
  return { run, status, workers, answers, timeline, latest, redis: memory }
}
