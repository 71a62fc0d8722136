import type { Checkpoint, Chunk, ChunkLedger, Claim, CommitAnswer, RejectedRow, SentSlice } from '@heapferry/domain'

/** The part of the ledger that a worker needs, in memory. It passes the same contract as the one in Redis. */
export class MemoryLedger implements ChunkLedger {
  readonly checkpoints = new Map<string, Checkpoint>()
  readonly rejected = new Map<string, RejectedRow>()
  /** By event and day. */
  readonly sent = new Map<string, number>()
  readonly #holders = new Map<string, string>()

  hold(chunk: Chunk, token: string): Promise<void> {
    this.#holders.set(chunk.id, token)
    return Promise.resolve()
  }

  isPlanned(): Promise<boolean> {
    return Promise.resolve(true)
  }

  checkpoint(chunk: Chunk): Promise<Checkpoint | null> {
    return Promise.resolve(this.checkpoints.get(chunk.id) ?? null)
  }

  commit(
    { chunk, token }: Claim,
    checkpoint: Checkpoint,
    rejected: readonly RejectedRow[],
    { from, counts }: SentSlice,
  ): Promise<CommitAnswer> {
    if (this.#holders.get(chunk.id) !== token) return Promise.resolve({ kind: 'lock_lost' })
    const stored = this.checkpoints.get(chunk.id)
    if (!stored?.done && (checkpoint.done || checkpoint.cursor > (stored?.cursor ?? -1))) {
      if (from !== (stored?.cursor ?? 0)) return Promise.resolve({ kind: 'stale' })
      this.checkpoints.set(chunk.id, checkpoint)
      for (const row of rejected) this.rejected.set(`${row.chunk}:${row.row}`, row)
      for (const { event, day, count } of counts) {
        const key = `${event} ${day}`
        this.sent.set(key, (this.sent.get(key) ?? 0) + count)
      }
    }
    return Promise.resolve({ kind: 'committed', intent: { kind: 'run', by: 'heapferry', acceptedTables: [] } })
  }
}
