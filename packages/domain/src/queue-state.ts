/** Chunks of the phase that is open, as the queue has them. */
export interface QueueState {
  waiting: number
  /** Workers have them in hand. */
  active: number
  failed: number
  /** Why the first of the failed ones did, which have spent all their attempts. */
  firstFailure: string | null
}
