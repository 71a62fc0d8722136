import type {
  ChunkLedger,
  HeldBackLedger,
  PlanLedger,
  RejectedLedger,
  RetryHoldLedger,
  RetryLedger,
  RunLedger,
  TimelineLedger,
  VerificationLedger,
  WorkerLedger,
} from '@heapferry/domain'
import type { Redis } from 'ioredis'
import { chunkLedger } from './ledger/chunk-ledger.ts'
import { heldBackLedger } from './ledger/held-back-ledger.ts'
import { planLedger } from './ledger/plan-ledger.ts'
import { rejectedLedger } from './ledger/rejected-ledger.ts'
import { retryHoldLedger } from './ledger/retry-hold-ledger.ts'
import { retryLedger } from './ledger/retry-ledger.ts'
import { runLedger } from './ledger/run-ledger.ts'
import { timelineLedger } from './ledger/timeline-ledger.ts'
import { verificationLedger } from './ledger/verification-ledger.ts'
import { workerLedger } from './ledger/worker-ledger.ts'

export interface RedisLedger
  extends RunLedger,
    PlanLedger,
    ChunkLedger,
    WorkerLedger,
    TimelineLedger,
    VerificationLedger,
    RejectedLedger,
    RetryHoldLedger,
    RetryLedger,
    HeldBackLedger {}

/** The ledger in Redis: the truth about every run. BullMQ's queues are only the schedule. */
export function redisLedger(redis: Redis): RedisLedger {
  return {
    ...runLedger(redis),
    ...planLedger(redis),
    ...chunkLedger(redis),
    ...workerLedger(redis),
    ...timelineLedger(redis),
    ...verificationLedger(redis),
    ...rejectedLedger(redis),
    ...retryHoldLedger(redis),
    ...retryLedger(redis),
    ...heldBackLedger(redis),
  }
}
