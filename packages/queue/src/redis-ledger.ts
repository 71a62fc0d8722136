import type { Redis } from './redis-client.ts'
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
import { queueStates } from './queue-states.ts'

export type RedisLedger = ReturnType<typeof redisLedger>

/** The ledger in Redis: the truth about every run. BullMQ's queues are only the schedule, and tell how they stand. */
export function redisLedger(redis: Redis) {
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
    ...queueStates(redis),
  }
}
