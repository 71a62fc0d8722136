import { randomUUID } from 'node:crypto'
import type { Logger } from '@heapferry/config'
import {
  OperatorError,
  type PostHogVerification,
  type Run,
  type TimelineEntry,
  type TimelineLedger,
  type VerificationHold,
  type VerificationLedger,
  type VerificationUnderWay,
  type VerifyProgress,
} from '@heapferry/domain'

/** Compares a run with what PostHog holds, and keeps what it finds in the ledger. */
type Verifier = (wanted: {
  by: string
  stop: AbortSignal
  onProgress: (progress: VerifyProgress) => void
}) => Promise<void>

/** Null where there is no key to ask PostHog with. */
export type VerifierOf = (run: Run) => Verifier | null

const keepEveryMs = 1000

/** Verifications that are wanted on pages: of a run one at a time, whatever dashboard is asked. They end with the dashboard. */
export class PageVerifications {
  readonly #ledger: VerificationLedger & TimelineLedger
  readonly #logger: Logger
  readonly #verify: VerifierOf
  readonly #stop = new AbortController()
  readonly #underWay = new Set<Promise<void>>()
  readonly #read = new Map<string, { atMs: number; last: PostHogVerification | null }>()

  constructor({
    ledger,
    logger,
    verify,
  }: { ledger: VerificationLedger & TimelineLedger; logger: Logger; verify: VerifierOf }) {
    this.#ledger = ledger
    this.#logger = logger
    this.#verify = verify
  }

  /** Whether the dashboard has a key to ask with. */
  offers(run: Run): boolean {
    return this.#verify(run) !== null
  }

  /**
   * Begins to verify.
   * @returns who does so already; null when it has begun
   * @throws OperatorError where there is no key
   */
  async begin(run: Run, by: string): Promise<VerificationUnderWay | null> {
    const verify = this.#verify(run)
    if (verify === null) {
      throw new OperatorError(
        'This dashboard has no key to ask PostHog with',
        'Set POSTHOG_PERSONAL_API_KEY for it, or use heapferry verify.',
      )
    }
    const hold = { run: run.id, token: randomUUID() }
    const other = await this.#ledger.takeVerification(hold, by)
    if (other !== null) return other
    const done = this.#hold(hold, by, verify).finally(() => this.#underWay.delete(done))
    this.#underWay.add(done)
    return null
  }

  /** The last against PostHog, by whomever. @param timeline of the run: it is read again when that tells of another one */
  async last(run: Run, timeline: readonly TimelineEntry[]): Promise<PostHogVerification | null> {
    const key = `${run.id} ${run.createdAtMs}`
    const atMs = timeline.findLast((entry) => entry.kind === 'verified' && entry.against === 'posthog')?.atMs ?? 0
    const kept = this.#read.get(key)
    if (kept !== undefined && kept.atMs === atMs && atMs > 0) return kept.last
    const { posthog } = await this.#ledger.verifications(run.id)
    this.#read.set(key, { atMs, last: posthog })
    return posthog
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#underWay)
  }

  async #hold(hold: VerificationHold, by: string, verify: Verifier): Promise<void> {
    const lost = new AbortController()
    let progress: VerifyProgress = { kind: 'asking' }
    const keeping = setInterval(() => {
      this.#ledger.keepVerification(hold, progress).then(
        (isOurs) => !isOurs && lost.abort(),
        () => lost.abort(),
      )
    }, keepEveryMs)
    try {
      const stop = AbortSignal.any([this.#stop.signal, lost.signal])
      await verify({ by, stop, onProgress: (now) => (progress = now) })
    } catch (error) {
      await this.#failed(hold, by, this.#detailOf(error, lost.signal.aborted))
    } finally {
      clearInterval(keeping)
      await this.#ledger.endVerification(hold).catch((error: unknown) => {
        // It is forgotten by itself in some seconds.
        this.#logger.warn({ err: error, run: hold.run }, 'the end of a verification could not be told')
      })
    }
  }

  #detailOf(error: unknown, isLost: boolean): string {
    if (this.#stop.signal.aborted) return 'the dashboard ended'
    if (isLost) return 'the dashboard did not reach Redis for too long'
    if (error instanceof OperatorError) return `${error.message}. ${error.hint}`
    this.#logger.error({ err: error }, 'a verification failed')
    return 'unforeseen; the log of the dashboard says why'
  }

  async #failed({ run }: VerificationHold, by: string, detail: string): Promise<void> {
    try {
      await this.#ledger.record(run, { kind: 'verification_failed', atMs: await this.#ledger.nowMs(run), by, detail })
    } catch (error) {
      this.#logger.error({ err: error, run, detail }, 'the timeline was not told of a verification that failed')
    }
  }
}
