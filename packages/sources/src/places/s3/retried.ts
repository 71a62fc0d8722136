import { setTimeout as sleep } from 'node:timers/promises'

/** How long a store may fail or keep silent before reading is given up. */
export interface Patience {
  /** Without a byte for so long, a connection is taken for dead. */
  stallMs: number
  /** Before the second try; doubled with every further one. */
  firstPauseMs: number
  longestPauseMs: number
  /** In a row, without a byte in between. */
  tries: number
}

/**
 * Stores take a second or two to answer at worst, and cut a prefix that is asked too much with 503 for some seconds to
 * minutes. About 25 s of pauses get over most of it; what lasts longer is left to whoever schedules the work.
 */
export const usualPatience: Patience = { stallMs: 20_000, firstPauseMs: 200, longestPauseMs: 15_000, tries: 8 }

/**
 * Tries again after failures that pass. The SDK's own retries end where an answer begins, so they would miss a connection
 * that breaks in the middle of a body; doing all of it here keeps the two from multiplying.
 * @param progress grows with what has arrived: a failure after some progress begins the count anew
 * @throws the last failure
 */
export async function retried<T>(
  attempt: () => Promise<T>,
  { patience, progress = () => 0, signal }: { patience: Patience; progress?: () => number; signal?: AbortSignal },
): Promise<T> {
  let failures = 0
  let reached = progress()
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (signal?.aborted || !passes(error)) throw error
      failures = progress() > reached ? 1 : failures + 1
      reached = progress()
      if (failures >= patience.tries) throw error
      const pauseMs = Math.min(patience.firstPauseMs * 2 ** (failures - 1), patience.longestPauseMs)
      // Spread out, so that the readers that were cut off together do not come back together.
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { ...(signal && { signal }) })
    }
  }
}

/** A body ended early although its connection did not break. */
export class ShortBody extends Error {
  override name = 'ShortBody'
}

const passingCodes: ReadonlySet<unknown> = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_STREAM_PREMATURE_CLOSE',
])
const passingNames: ReadonlySet<string> = new Set([
  'ShortBody',
  'TimeoutError',
  'RequestTimeout',
  'SlowDown',
  // The SDK corrects its clock by this answer.
  'RequestTimeTooSkewed',
])

/** Whether asking again may help. */
export function passes(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const status = statusOf(error)
  return (
    passingNames.has(error.name) ||
    ('code' in error && passingCodes.has(error.code)) ||
    (status !== undefined && (status >= 500 || status === 429 || status === 408))
  )
}

/** Of an answer of the store; undefined where none came. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined
  const { $metadata: metadata } = error
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}
