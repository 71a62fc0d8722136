import { type Dispatcher, request } from 'undici'

export type Reply =
  | { kind: 'answered'; status: number; retryAfter: string | null; body: string }
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
    const retryAfter = answer.headers['retry-after']
    return {
      kind: 'answered',
      status: answer.statusCode,
      retryAfter: typeof retryAfter === 'string' ? retryAfter : null,
      body: text,
    }
  } catch (error) {
    const { host } = new URL(url)
    if (signal.aborted) return { kind: 'unanswered', detail: `${host}: no answer within ${timeoutMs} ms` }
    return { kind: 'unanswered', detail: `${host}: ${codeOf(error)}` }
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('code' in error && typeof error.code === 'string' && error.code !== '') return `${error.message} (${error.code})`
  return error.message
}
