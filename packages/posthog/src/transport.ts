import type { OutgoingEvent, Warning } from '@heapferry/domain'
import { z } from 'zod'
import type { Reply } from './post.ts'

export interface TransportOptions {
  /** An address without a trailing `/`. */
  host: string
  /** Project token, `phc_…`. */
  apiKey: string
  /** For one request, answer included; 60 s unless told. */
  timeoutMs?: number
}

export interface Transport {
  /**
   * Finds out what has to be known before these events can be sent, and makes what can be made of them, before a part of the
   * pace is taken for them: what takes long afterwards would let them go too late, and too close to those behind them.
   * @param events what `send` will be given, the same array, unless it is fewer of them
   */
  ready(events: readonly OutgoingEvent[]): Promise<Readiness>
  /**
   * One request with all of the events, of which no two different ones have the same uuid. The same array again is the
   * same request, sent again. Rejects only for a bug.
   */
  send(events: readonly OutgoingEvent[]): Promise<TransportAnswer>
  /** Breaks off what is in flight. */
  close(): Promise<void>
}

/** `detail` is at most 200 characters, in PostHog's words where it has any, and never holds the key. */
export type TransportAnswer =
  /** All are durably in PostHog's queue. */
  | { kind: 'stored' }
  /** An answer for every event, in the order of the events. `afterMs`: when PostHog wants those that are `retry` again. */
  | { kind: 'each'; results: readonly EventResult[]; afterMs: number | null }
  /** The same request may succeed later; what it held may or may not be stored. `afterMs`: when PostHog said. */
  | { kind: 'later'; afterMs: number | null; detail: string; status?: number }
  /** An event, or all of them together, are larger than PostHog takes. */
  | { kind: 'too_large'; detail: string }
  /** At least one event is not one that PostHog takes. */
  | { kind: 'refused'; detail: string }
  /** Only a person can help: key, quota, host. */
  | { kind: 'operator'; status: number; detail: string }

export type Later = Extract<TransportAnswer, { kind: 'later' }>

export type Readiness = { kind: 'ready' } | Later

export const isReady: Readiness = { kind: 'ready' }

/** `detail` as in `TransportAnswer`. */
export type EventResult =
  /** Durably in PostHog's queue. */
  | { kind: 'ok' }
  /** So is this one, but PostHog has something to say about it. */
  | { kind: 'warning'; warning: Warning; detail: string }
  /** Thrown away, and would be again. */
  | { kind: 'drop'; detail: string }
  /** Not stored; it may be the next time. */
  | { kind: 'retry'; detail: string }

/** What others have written, for a person: short, and without the key. */
export function shown(text: string, apiKey: string): string {
  return text.replaceAll(apiKey, '[project key]').trim().slice(0, 200)
}

/** What a reply to `/batch/` means for the events in the request. */
export function answerOf(reply: Reply, apiKey: string): TransportAnswer {
  const say = (text: string) => shown(text, apiKey)
  if (reply.kind === 'unanswered') return { kind: 'later', afterMs: null, detail: say(reply.detail) }

  const { status, body } = reply
  const detail = say(body === '' ? `PostHog answered ${status}` : `${status}: ${body}`)
  if (status >= 200 && status < 300) return answerOfSuccess(status, body, say)
  if (status === 408 || status === 429 || status >= 500) {
    return { kind: 'later', afterMs: reply.retryAfterMs, detail, status }
  }
  if (status === 413) return { kind: 'too_large', detail }
  if (status === 400) return { kind: 'refused', detail }
  return { kind: 'operator', status, detail }
}

const Accepted = z.object({
  status: z.union([z.literal('Ok'), z.literal(1)]),
  quota_limited: z.array(z.string()).nullish(),
})

/** A proxy's friendly page is a 200 as well, so only PostHog's own words count. */
function answerOfSuccess(status: number, body: string, say: (text: string) => string): TransportAnswer {
  const accepted = Accepted.safeParse(parseJson(body))
  if (!accepted.success) {
    return { kind: 'later', afterMs: null, detail: say(`${status} without PostHog's acknowledgement: ${body}`), status }
  }
  // PostHog drops what is over the quota and answers 200 all the same.
  const limited = accepted.data.quota_limited ?? []
  if (limited.length > 0)
    return { kind: 'operator', status: 402, detail: say(`quota used up for ${limited.join(', ')}`) }
  return { kind: 'stored' }
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
