import type { RunId } from './ids.ts'
import type { RedisRefusal } from './redis-refusal.ts'
import type { Phase } from './table.ts'

/** Chunks of the phase that is open, as the queue has them. */
export interface QueueState {
  waiting: number
  /** Workers have them in hand. */
  active: number
  failed: number
  /** By BullMQ's own pause, which only somebody outside heapferry makes: no worker takes a chunk. */
  paused: boolean
  /** Why the first of the failed ones did, which have spent all their attempts. */
  firstFailure: string | null
  /** Why Redis takes no writes now, so that neither workers nor producers can go on; absent where it takes them. */
  refusal?: RedisRefusal | undefined
}

/** How the queues stand, for those who only look. */
export interface QueueStates {
  queueState(run: RunId, phase: Phase): Promise<QueueState>
  /** Whether a worker could take a chunk now. One whose worker died is not free before its lock has run out. */
  hasTakeable(run: RunId, phase: Phase): Promise<boolean>
}
