import { type Dispatcher, request } from 'undici'

export type Reply =
  /** `retryAfterMs`: how long from the answer on the other side wants no request; null where it did not say. */
  | { kind: 'answered'; status: number; retryAfterMs: number | null; body: string }
  /** No connection, a broken one, or no answer in time: the other side may or may not have acted. */
  | { kind: 'unanswered'; detail: string }

export interface Get {
  dispatcher: Dispatcher
  headers: Record<string, string>
  /** From the first byte to the end of the answer. */
  timeoutMs: number
}

export interface Post extends Get {
  body: string | Uint8Array
}

export function post(url: string, { body, ...rest }: Post): Promise<Reply> {
  return exchange(url, { method: 'POST', body, ...rest })
}

export function get(url: string, how: Get): Promise<Reply> {
  return exchange(url, { method: 'GET', body: null, ...how })
}

/** Redirects are not followed: they could lead a key to another host. */
async function exchange(
  url: string,
  { method, dispatcher, body, headers, timeoutMs }: Get & { method: 'GET' | 'POST'; body: Post['body'] | null },
): Promise<Reply> {
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const answer = await request(url, { method, dispatcher, body, headers, signal })
    const text = await answer.body.text()
    const { 'retry-after': retryAfter, date } = answer.headers
    // By the other side's clock, where it tells it: ours may be off by hours.
    const answeredAtMs = typeof date === 'string' ? Date.parse(date) : Number.NaN
    return {
      kind: 'answered',
      status: answer.statusCode,
      retryAfterMs: retryAfterMs(
        typeof retryAfter === 'string' ? retryAfter : null,
        Number.isNaN(answeredAtMs) ? Date.now() : answeredAtMs,
      ),
      body: text,
    }
  } catch (error) {
    const { host } = new URL(url)
    if (signal.aborted) return { kind: 'unanswered', detail: `${host}: no answer within ${timeoutMs} ms` }
    return { kind: 'unanswered', detail: `${host}: ${codeOf(error)}` }
  }
}

/**
 * A `Retry-After` header, seconds or a date, as the time to wait; null where it says nothing.
 * @param nowMs by the clock that the date is of
 */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null || header.trim() === '') return null
  const seconds = Number(header)
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000)
  const dateMs = Date.parse(header)
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - nowMs)
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('code' in error && typeof error.code === 'string' && error.code !== '') return `${error.message} (${error.code})`
  return error.message
}
