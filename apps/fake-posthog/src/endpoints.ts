import type { IncomingHttpHeaders } from 'node:http'
import { type CapturedEvent, capture, maxBodyBytes, tooLarge } from './capture.ts'
import { captureV1, type JudgedEvent, maxBodyBytesV1 } from './capture-v1.ts'
import { type Fault, isAbout } from './fault.ts'
import { type HttpReply, json, retryAfter } from './http-reply.ts'

/** One of the two addresses that take events. */
export interface Endpoint {
  name: 'batch' | 'v1'
  maxBytes: number
  take(request: TakenRequest): Promise<{ reply: HttpReply; summary?: BatchSummary }>
  /** The reply of a `status` fault. */
  replyOfStatus(status: number, retryAfterS: number | undefined): HttpReply
}

export interface TakenRequest {
  /** Null for one over the limit. */
  body: Buffer | null
  headers: IncomingHttpHeaders
  nowMs: number
  /** The faults that it has met. */
  met: readonly Fault[]
}

/** What a request held, as far as it was understood. */
export interface BatchSummary {
  events: number
  historicalMigration: boolean
  sentAt: string | null
}

/** Where events end that PostHog has taken. */
export interface Keeper {
  /** Where no project has the token, PostHog takes the events and throws them away. */
  keep(token: string, events: readonly CapturedEvent[]): void
  drop(events: readonly CapturedEvent[]): void
}

export function batchEndpoint(keeper: Keeper): Endpoint {
  return {
    name: 'batch',
    maxBytes: maxBodyBytes,
    replyOfStatus: (status, retryAfterS) =>
      retryAfter({ status, body: messages[status] ?? 'fault on demand' }, retryAfterS),
    async take({ body, headers, nowMs, met }) {
      const captured = body ? await capture(body, headers['content-encoding'], nowMs) : tooLarge
      if (captured.kind === 'refused') return { reply: { status: captured.status, body: captured.message } }
      const { token, events, oversized, historicalMigration, sentAt } = captured
      const summary = { events: events.length, historicalMigration, sentAt }
      if (events.some((event) => faultAbout('refuse_event', event, met))) {
        return { reply: { status: 400, body: 'invalid event could not be processed' }, summary }
      }
      const overLimit = new Set(events.filter((event) => faultAbout('billing_limit', event, met)))
      keeper.drop([...overLimit])
      keeper.keep(
        token,
        events.filter((event) => !overLimit.has(event)),
      )
      if (oversized) return { reply: { status: 413, body: 'maximum event size exceeded' }, summary }
      const isTold = [...overLimit].some((event) => faultAbout('billing_limit', event, met)?.told)
      return { reply: json(200, { status: 'Ok', ...(isTold && { quota_limited: ['events'] }) }), summary }
    },
  }
}

export function v1Endpoint(keeper: Keeper): Endpoint {
  return {
    name: 'v1',
    maxBytes: maxBodyBytesV1,
    replyOfStatus: (status, retryAfterS) => {
      const { error, description } = v1Errors[status] ?? { error: 'fault_on_demand', description: 'fault on demand' }
      return retryAfter(errorOfV1({ status, error, description }), retryAfterS)
    },
    async take({ body, headers, nowMs, met }) {
      const captured = await captureV1(body, headers, nowMs)
      if (captured.kind === 'refused') return { reply: errorOfV1(captured) }
      const { token, events, historicalMigration } = captured
      const judgements = events.map((judged) => ({ event: judged.event, ...judgementOf(judged, met) }))
      keeper.keep(
        token,
        judgements.filter(({ result }) => result === 'ok' || result === 'warning').map(({ event }) => event),
      )
      const results = Object.fromEntries(
        judgements.map(({ event, result, details }) => [
          event.uuid,
          { result, ...(details !== undefined && { details }) },
        ]),
      )
      const wantsAgain = judgements.some(({ result }) => result === 'retry')
      return {
        reply: retryAfter(json(200, { results }), wantsAgain ? 1 : undefined),
        summary: { events: events.length, historicalMigration, sentAt: null },
      }
    },
  }
}

const messages: Record<number, string> = { 429: 'rate limited', 503: 'transient error, please retry' }

const v1Errors: Record<number, { error: string; description: string }> = {
  401: { error: 'invalid_api_token', description: 'The provided API token is not valid.' },
  402: { error: 'billing_limit_exceeded', description: 'billing limit exceeded' },
  408: { error: 'request_timeout', description: 'request timed out' },
  413: { error: 'payload_too_large', description: 'payload too large' },
  429: { error: 'rate_limited', description: 'Rate limit exceeded.' },
  500: { error: 'internal_error', description: 'Internal Server Error' },
  503: { error: 'service_unavailable', description: 'Service Unavailable' },
  504: { error: 'gateway_timeout', description: 'Gateway Timeout' },
}

function errorOfV1({ status, error, description }: { status: number; error: string; description: string }): HttpReply {
  return json(status, { error, error_description: description, error_uri: 'https://posthog.com/docs/api' })
}

/** The fault of that kind that a request has met and that is about this event. */
function faultAbout<K extends 'refuse_event' | 'retry_event' | 'warn_event' | 'billing_limit'>(
  kind: K,
  event: CapturedEvent,
  met: readonly Fault[],
): Extract<Fault, { kind: K }> | undefined {
  return met
    .filter((fault): fault is Extract<Fault, { kind: K }> => fault.kind === kind)
    .find((fault) => isAbout(fault, event))
}

/** What v1 says of an event: its own judgement, in the order in which PostHog comes to it, or that of a fault. */
function judgementOf(
  { event, result, details }: JudgedEvent,
  met: readonly Fault[],
): { result: 'ok' | 'warning' | 'drop' | 'retry'; details?: string } {
  if (result !== 'drop') {
    if (faultAbout('billing_limit', event, met)) return { result: 'drop', details: 'billing_limit_exceeded' }
    const refusal = faultAbout('refuse_event', event, met)
    if (refusal) return { result: 'drop', details: refusal.details }
    if (faultAbout('retry_event', event, met)) return { result: 'retry', details: 'not_persisted' }
    const warning = faultAbout('warn_event', event, met)
    if (warning) return { result: 'warning', details: warning.details }
  }
  return { result, ...(details !== undefined && { details }) }
}
