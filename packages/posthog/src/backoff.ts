import { setTimeout as sleep } from 'node:timers/promises'
import type { Waiting } from '@heapferry/domain'

/** When to ask again, and how often PostHog has answered "later" by then. */
export interface PutOff {
  attempts: number
  /** Of `performance.now()`: a clock that is set back would make a worker wait as long. */
  retryAtMs: number
}

interface BackoffOptions {
  firstWaitMs: number
  longestWaitMs: number
  onWaiting: (waiting: Waiting | null) => void
}

/**
 * How long a sink waits after answers that mean "later", and who is told of it. All sends of a sink share one: it waits
 * from the first such answer until one gets through, or a send is broken off.
 */
export class Backoff {
  readonly #options: BackoffOptions
  /** Null exactly while the last that `onWaiting` was told, if anything, is null. */
  #sinceMs: number | null = null

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /** @param before the wait that this answer came after, of the same request */
  putOff({ afterMs, detail }: { afterMs: number | null; detail: string }, before: PutOff | undefined): PutOff {
    const { firstWaitMs, longestWaitMs, onWaiting } = this.#options
    const attempts = (before?.attempts ?? 0) + 1
    const nowMs = Math.round(performance.now())
    const waitMs = jittered(Math.min(firstWaitMs * 2 ** (attempts - 1), longestWaitMs))
    const retryAtMs = nowMs + Math.max(afterMs ?? 0, waitMs)
    this.#sinceMs ??= nowMs
    onWaiting({ sinceMs: this.#sinceMs, retryAtMs, detail })
    return { attempts, retryAtMs }
  }

  end(): void {
    if (this.#sinceMs === null) return
    this.#sinceMs = null
    this.#options.onWaiting(null)
  }
}

/** Half of it fixed, half of it random: never at once, never all together. */
function jittered(ms: number): number {
  return Math.round(ms / 2 + Math.random() * (ms / 2))
}

const longestTimerMs = 2 ** 31 - 1

/** Until a moment of `performance.now()`. False when the signal came first. */
export async function waitUntil(momentMs: number, signal: AbortSignal): Promise<boolean> {
  for (let leftMs = 0; !signal.aborted; ) {
    leftMs = momentMs - performance.now()
    if (leftMs <= 0) return true
    await sleepUnlessAborted(Math.min(leftMs, longestTimerMs), signal)
  }
  return false
}

async function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
