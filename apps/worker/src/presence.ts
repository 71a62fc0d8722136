import type { Answers, ChunkId, Pulse, Run, TimelineLedger, Waiting, WorkerLedger } from '@heapferry/domain'

interface PresenceOptions {
  ledger: WorkerLedger & Pick<TimelineLedger, 'record' | 'nowMs'>
  run: Run['id']
  /** The worker's, which is unique among all. */
  name: string
  startedAtMs: number
}

const repeatWaitingMs = 5000
const pulseEveryMs = 1000
// Shorter waits are how PostHog paces its senders, and nothing that a report should tell.
const recordedWaitMs = 10_000

/**
 * What the ledger of a run knows of a worker that has a hand in it: that it lives, moves and waits. All moments are of
 * `performance.now()`: nobody takes a worker for dead, or for stuck, whose machine has its clock set.
 */
export class Presence {
  readonly #options: PresenceOptions
  /** The latest that the ledger was told. */
  #waiting: Waiting | null = null
  #waitingSaidAtMs = 0
  /** Chunks that were taken and have not ended, as far as they were committed. */
  readonly #inHand = new Map<ChunkId, Pulse['chunks'][number]>()
  /** Rows that were brought to their ends since the last pulse. */
  #rows = 0
  /** Of the last pulse. The first is due at once: a run without one has no worker. */
  #pulseAtMs = performance.now() - pulseEveryMs
  /** When something moved last, or there was a reason why nothing did. */
  #movedAtMs = performance.now()

  /** How many of its chunks are at what may take longer. */
  readonly #awaited = { reading: 0, sending: 0 }

  constructor(options: PresenceOptions) {
    this.#options = options
  }

  get isWaiting(): boolean {
    return this.#waiting !== null
  }

  get isIdle(): boolean {
    return this.#inHand.size === 0
  }

  /** What may take longer than all else is told, so that nobody takes it for stuck too soon. */
  async during<T>(what: 'reading' | 'sending', work: () => Promise<T>): Promise<T> {
    this.#awaited[what]++
    try {
      return await work()
    } finally {
      this.#awaited[what]--
      this.#movedAtMs = performance.now()
    }
  }

  /** A chunk was taken, or more of it was committed. @returns how many rows more */
  progressed(chunk: Pulse['chunks'][number]): number {
    const rows = chunk.read - (this.#inHand.get(chunk.id)?.read ?? chunk.read)
    this.#rows += rows
    this.#inHand.set(chunk.id, chunk)
    this.#movedAtMs = performance.now()
    return rows
  }

  /** Undefined where the chunk is not in hand, or its table not yet known. */
  tableOf(chunk: ChunkId): string | undefined {
    return this.#inHand.get(chunk)?.table
  }

  ended(chunk: ChunkId): void {
    this.#inHand.delete(chunk)
  }

  /** It knows why it stands still: nobody shall take it for stuck. */
  restsForAReason(): void {
    this.#movedAtMs = performance.now()
  }

  async waits(waiting: Waiting | null): Promise<void> {
    const { ledger, run, name } = this.#options
    const ended = waiting === null ? this.#waiting : null
    const nowMs = performance.now()
    this.#waiting = waiting
    this.#waitingSaidAtMs = nowMs
    await ledger.setWaiting(run, name, waiting)
    const lastedMs = ended === null ? 0 : Math.round(nowMs - ended.sinceMs)
    if (ended && lastedMs >= recordedWaitMs) {
      const untilMs = await ledger.nowMs(run)
      await ledger.record(run, {
        kind: 'waited',
        atMs: untilMs - lastedMs,
        untilMs,
        worker: name,
        detail: ended.detail,
      })
    }
  }

  /**
   * Says what is due: a pulse every second, and what is waited for every five.
   * @param takeAnswers PostHog's since the last call; null where there were none
   */
  async say(takeAnswers: () => Answers | null): Promise<void> {
    if (performance.now() - this.#pulseAtMs >= pulseEveryMs) await this.#sayAlive(takeAnswers)
    if (this.#waiting && performance.now() - this.#waitingSaidAtMs > repeatWaitingMs) await this.waits(this.#waiting)
  }

  /** Leaves nothing of this worker but its answers and what it has recorded. */
  async end(takeAnswers: () => Answers | null): Promise<void> {
    const { ledger, run, name } = this.#options
    if (this.#waiting) await ledger.setWaiting(run, name, null)
    await this.#addAnswers(takeAnswers())
    await ledger.removePulse(run, name)
  }

  async #sayAlive(takeAnswers: () => Answers | null): Promise<void> {
    const { ledger, run, name, startedAtMs } = this.#options
    const atMs = performance.now()
    const rate = Math.round((1000 * this.#rows) / (atMs - this.#pulseAtMs))
    this.#rows = 0
    this.#pulseAtMs = atMs
    await this.#addAnswers(takeAnswers())
    await ledger.setPulse(run, {
      worker: name,
      atMs,
      startedAtMs,
      memoryBytes: process.memoryUsage.rss(),
      rate,
      chunks: [...this.#inHand.values()],
      movedAtMs: this.#movedAtMs,
      awaits: this.#awaited.reading > 0 ? 'reading' : this.#awaited.sending > 0 ? 'sending' : null,
    })
  }

  async #addAnswers(answers: Answers | null): Promise<void> {
    if (answers) await this.#options.ledger.addAnswers(this.#options.run, answers)
  }
}
