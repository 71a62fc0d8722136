import { randomUUID } from 'node:crypto'
import type { OutgoingEvent } from '@heapferry/domain'
import { Agent } from 'undici'
import { z } from 'zod'
import { post, type Reply } from './post.ts'
import { madeOnce, requestBody } from './request-body.ts'
import {
  answerOf,
  type EventResult,
  isReady,
  parseJson,
  shown,
  type Transport,
  type TransportAnswer,
  type TransportOptions,
} from './transport.ts'

export const v1Path = '/i/v1/analytics/events'

const version = '0.1.0'

// PostHog would shift timestamps by the difference between the clocks, differently each time, and a repeated event with
// another timestamp is a second event. PostHogs of early 2026 know the option by its second name; both leave out names that
// they do not know.
const optionsOfEvent = Buffer.from(',"options":{"disable_skew_correction":true,"disable_skew_adjustment":true}}')

/** One body, sent until PostHog has answered. */
interface Request {
  id: string
  body: Buffer
  attempts: number
}

/**
 * `POST /i/v1/analytics/events`: PostHog answers for every event. It refuses a request that holds a uuid twice, so of
 * the same event, exported twice, one goes out; its answer is the answer for both.
 */
export function v1Transport({ host, apiKey, timeoutMs = 60_000 }: TransportOptions): Transport {
  const dispatcher = new Agent()
  const requestOf = madeOnce(
    async (events): Promise<Request> => ({ id: randomUUID(), body: await bodyOf(events), attempts: 0 }),
  )

  return {
    async ready(events) {
      await requestOf(events)
      return isReady
    },
    async send(events) {
      const request = await requestOf(events)
      request.attempts += 1
      const headers = {
        ...v1Headers({ apiKey, requestId: request.id, attempt: request.attempts }),
        'content-encoding': 'gzip',
      }
      const reply = await post(`${host}${v1Path}`, { dispatcher, body: request.body, headers, timeoutMs })
      return answerOfV1(reply, events, apiKey)
    },
    close: () => dispatcher.destroy(),
  }
}

/** Every header is required. */
export function v1Headers({ apiKey, requestId, attempt }: { apiKey: string; requestId: string; attempt: number }) {
  return {
    authorization: `Bearer ${apiKey}`,
    'content-type': 'application/json',
    // Not "name/version": PostHog would write that into $lib and $lib_version of every event, over the library that Heap
    // recorded. A text without a slash is taken and left alone.
    'posthog-sdk-info': `heapferry ${version}`,
    'posthog-attempt': String(attempt),
    'posthog-request-id': requestId,
    'posthog-request-timestamp': new Date().toISOString(),
    'user-agent': `heapferry/${version}`,
  }
}

function bodyOf(events: readonly OutgoingEvent[]): Promise<Buffer> {
  const head = `{"created_at":"${new Date().toISOString()}","historical_migration":true,"batch":[`
  return requestBody(Buffer.from(head), withoutRepeats(events), optionsOfEvent)
}

function withoutRepeats(events: readonly OutgoingEvent[]): readonly OutgoingEvent[] {
  const first = new Map<string, OutgoingEvent>()
  for (const event of events) {
    const known = first.get(event.uuid)
    if (known === undefined) first.set(event.uuid, event)
    else if (Buffer.compare(known.json, event.json) !== 0) throw new Error(`two events of one request: ${event.uuid}`)
  }
  return first.size === events.length ? events : [...first.values()]
}

const ErrorOfV1 = z.object({ error: z.string(), error_description: z.string() })

// Refusals of the request, not of its events: halves of it would fare no better.
const faultsOfRequest = [
  'missing_required_headers',
  'invalid_header_value',
  'empty_body',
  'empty_batch',
  'invalid_batch',
]

function answerOfV1(reply: Reply, events: readonly OutgoingEvent[], apiKey: string): TransportAnswer {
  if (reply.kind === 'unanswered') return answerOf(reply, apiKey)
  if (reply.status >= 200 && reply.status < 300) return answerOfResults(reply, events, apiKey)

  const fault = ErrorOfV1.safeParse(parseJson(reply.body)).data
  if (fault === undefined) return answerOf(reply, apiKey)
  const { error, error_description: description } = fault
  const detail = shown(`${reply.status}: ${description} (${error})`, apiKey)
  // 402, but 429 in some versions, and no waiting helps.
  if (error === 'billing_limit_exceeded') return { kind: 'operator', status: 402, detail }
  if (faultsOfRequest.includes(error)) return { kind: 'operator', status: reply.status, detail }
  return answerOf({ ...reply, body: `${description} (${error})` }, apiKey)
}

const Results = z.object({
  results: z.record(z.string(), z.object({ result: z.string(), details: z.string().nullish() })),
})

function answerOfResults(
  reply: Extract<Reply, { kind: 'answered' }>,
  events: readonly OutgoingEvent[],
  apiKey: string,
): TransportAnswer {
  const { status, body } = reply
  const parsed = Results.safeParse(parseJson(body))
  if (!parsed.success) {
    const detail = shown(`${status} without PostHog's answers for the events: ${body}`, apiKey)
    return { kind: 'later', afterMs: null, detail, status }
  }
  const answers = parsed.data.results
  const results = events.map(({ uuid }) => resultOf(answers[uuid], apiKey))
  const overQuota = results.find((result) => result.kind === 'over_quota')
  if (overQuota) return { kind: 'operator', status: 402, detail: overQuota.detail }
  const settled = results.filter((result) => result.kind !== 'over_quota')
  if (settled.every(({ kind }) => kind === 'ok')) return { kind: 'stored' }
  return { kind: 'each', results: settled, afterMs: reply.retryAfterMs }
}

type Result = z.infer<typeof Results>['results'][string]

const ok: EventResult = { kind: 'ok' }

/** Codes that are unknown mean success: so PostHog's contract with its SDKs says. */
function resultOf(answer: Result | undefined, apiKey: string): EventResult | { kind: 'over_quota'; detail: string } {
  if (answer === undefined) return { kind: 'retry', detail: 'PostHog did not say what became of it' }
  const words = shown(answer.details ?? '', apiKey)
  switch (answer.result) {
    case 'drop':
      if (words === 'billing_limit_exceeded' || words.endsWith('over_quota'))
        return { kind: 'over_quota', detail: words }
      return { kind: 'drop', detail: dropText(words) }
    case 'retry':
      return { kind: 'retry', detail: words }
    default:
      if (words === '' && answer.result !== 'warning') return ok
      return { kind: 'warning', warning: words === 'person_processing_disabled' ? words : 'other', detail: words }
  }
}

/** What PostHog's tags for dropped events mean. Others may come. */
const dropTexts = new Map([
  ['missing_event_name', 'it has no name'],
  ['event_name_too_long', 'its name is longer than 200 bytes'],
  ['missing_distinct_id', 'its distinct_id is empty'],
  ['distinct_id_too_large', 'its distinct_id is longer than 200 bytes'],
  ['invalid_event_timestamp', 'its timestamp is not one that PostHog reads'],
  ['malformed_event_properties', 'its properties are not an object'],
  ['dropped_performance_event', 'PostHog takes no $performance_event'],
  ['event_too_big', 'it is larger than PostHog takes'],
  ['serialization_failed', 'PostHog could not write it'],
  ['event_restriction_drop', 'a restriction of the project drops such events'],
  ['rejected', 'PostHog could not store it'],
])

function dropText(tag: string): string {
  const text = dropTexts.get(tag)
  if (text !== undefined) return `dropped by PostHog: ${text} (${tag})`
  return tag === '' ? 'dropped by PostHog without a reason' : `dropped by PostHog: ${tag}`
}
