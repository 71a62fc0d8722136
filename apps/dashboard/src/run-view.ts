import type {
  Answers,
  HistoryPoint,
  PostHogVerification,
  QueueStates,
  RetryHoldLedger,
  RetryUnderWay,
  Run,
  RunLedger,
  TimelineEntry,
  TimelineLedger,
  VerificationLedger,
  VerificationUnderWay,
  WorkerLedger,
} from '@heapferry/domain'
import { readRun, type RunStatus, type ServingWorker } from '@heapferry/migration'
import { type Redis, redisMemory } from '@heapferry/queue'
import type { PageVerifications } from './page-verifications.ts'

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
  /** The last against PostHog. */
  verification: PostHogVerification | null
  /** Null where none goes on that was wanted on a page. */
  verifying: VerificationUnderWay | null
  /** The newest; null before the first batch. */
  latest: HistoryPoint | null
  redis: { usedBytes: number; maxBytes: number | null }
}

export async function readRunView(
  run: Run,
  {
    redis,
    ledger,
    verifications,
  }: {
    redis: Redis
    ledger: RunLedger & WorkerLedger & TimelineLedger & QueueStates & RetryHoldLedger & VerificationLedger
    verifications: PageVerifications
  },
): Promise<RunView> {
  const [{ status, progress, workers }, answers, timeline, retry, verifying, latest, memory] = await Promise.all([
    readRun(run.id, ledger),
    ledger.answers(run.id),
    ledger.timeline(run.id),
    ledger.retryUnderWay(run.id),
    ledger.verificationUnderWay(run.id),
    ledger.latestPoint(run.id),
    redisMemory(redis),
  ])
  const verification = await verifications.last(run, timeline)
  return {
    run,
    nowMs: progress.nowMs,
    status,
    workers,
    answers,
    timeline,
    retry,
    verification,
    verifying,
    latest,
    redis: memory,
  }
}
