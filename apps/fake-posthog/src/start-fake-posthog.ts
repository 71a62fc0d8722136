import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { type CapturedEvent, capture, faultOfToken, maxBodyBytes, tooLarge } from './capture.ts'
import { captureV1, type JudgedEvent, maxBodyBytesV1 } from './capture-v1.ts'
import { createFaultBox, Fault, type FaultInput, isAbout } from './fault.ts'
import { createPersons, type Persons } from './persons.ts'
import { createQueryApi, type QueryApiOptions, type QueryControls } from './query-api.ts'
import { createStore, type StoredEvent } from './store.ts'

export interface FakePostHogOptions {
  /** 0, the default, takes a free one. */
  port?: number
  host?: string
  /** The one token that has a project. Without it every well-shaped token has. */
  apiKey?: string
  /** `events` also keeps properties. */
  keep?: 'ids' | 'events'
  /** Whether events make persons. True, unless told otherwise. */
  persons?: boolean
  /** Answers `heapferry verify`; needs `keep: 'events'`. */
  queries?: QueryApiOptions
}

/** A request to `/batch/` or v1, in order of arrival; the latest 10,000 are kept. A body without a byte is none. */
export interface ReceivedBatch {
  endpoint: 'batch' | 'v1'
  receivedAtMs: number
  /** The answer's status, or what happened instead of an answer. */
  outcome: number | 'reset' | 'answer_lost'
  /** 0 where the body was not understood, or not even looked at. */
  events: number
  bytes: number
  historicalMigration: boolean
  sentAt: string | null
}

export interface FakePostHog {
  url: string
  port: number
  /** By uuid; see `Store`. */
  stored: ReadonlyMap<string, StoredEvent>
  persons: Omit<Persons, 'add'>
  /** Null unless it answers queries. */
  queries: QueryControls | null
  /** Requests to `/batch/` and v1 by outcome: `{ '200': 12, '429': 3, answer_lost: 1 }`. */
  requests: Readonly<Record<string, number>>
  batches: readonly ReceivedBatch[]
  /** Requests to `/batch/` and v1 that have not been answered yet. */
  readonly underWay: number
  fault(fault: FaultInput): void
  clearFaults(): void
  /** Breaks open connections; nothing is stored afterwards. */
  stop(): Promise<void>
}

interface Answer {
  status: number
  body: string
  headers?: Record<string, string>
}

type Summary = Pick<ReceivedBatch, 'events' | 'historicalMigration' | 'sentAt'>

/** One of the two addresses that take events. */
interface Endpoint {
  name: ReceivedBatch['endpoint']
  maxBytes: number
  /** @param body null for one over the limit */
  take(
    body: Buffer | null,
    headers: IncomingHttpHeaders,
    nowMs: number,
    met: readonly Fault[],
  ): Promise<{ answer: Answer; summary?: Summary }>
  /** The answer of a `status` fault. */
  answerOfStatus(status: number, retryAfterS: number | undefined): Answer
}

/**
 * PostHog's capture service for rehearsals and tests: its rules for `/batch/`, v1 (`/i/v1/analytics/events`, an answer for
 * every event) and `/flags/`, faults on demand, a memory of what it stored, and the persons that PostHog would make of that. Other processes ask and steer it under `/_fake/`:
 * `GET counts`, `GET events?offset=&limit=`, `POST faults` (one fault), `DELETE faults`.
 */
export async function startFakePostHog(options: FakePostHogOptions = {}): Promise<FakePostHog> {
  const { port = 0, host = '127.0.0.1', apiKey, keep = 'ids', persons: makesPersons = true } = options
  const persons = createPersons(keep)
  const store = createStore(keep, (event) => {
    if (makesPersons) persons.add(event)
    queries?.onStored()
  })
  if (options.queries && keep !== 'events') throw new Error("queries ask for properties: they need keep: 'events'")
  const queries =
    options.queries && createQueryApi({ ...options.queries, projectKey: apiKey ?? '', stored: store.stored, persons })
  const faults = createFaultBox()
  const requests: Record<string, number> = {}
  const batches: ReceivedBatch[] = []
  let underWay = 0
  const stopping = new AbortController()

  const isKnown = (token: string) => apiKey === undefined || token === apiKey

  /** What a request to one of the two endpoints goes through; `take` knows their differences. */
  async function receive(
    { name, maxBytes, take, answerOfStatus }: Endpoint,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const receivedAtMs = Date.now()
    const met = faults.meet(receivedAtMs)
    const body = await readBody(request, maxBytes)
    const latencyMs = latencyMsOf(met)
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: stopping.signal })

    const end = (outcome: ReceivedBatch['outcome'], summary: Summary = nothingUnderstood) => {
      if (body?.length === 0) return
      requests[outcome] = (requests[outcome] ?? 0) + 1
      batches.push({ endpoint: name, receivedAtMs, outcome, bytes: body?.length ?? 0, ...summary })
      if (batches.length > 10_000) batches.shift()
    }

    if (met.some((fault) => fault.kind === 'reset')) {
      end('reset')
      request.socket.resetAndDestroy()
      return
    }
    if (name === 'v1' && met.some((fault) => fault.kind === 'v1_missing')) {
      end(404)
      answer(response, { status: 404, body: '' })
      return
    }
    const fault = met.find(({ kind }) => kind === 'status')
    if (fault?.kind === 'status') {
      end(fault.status)
      answer(response, answerOfStatus(fault.status, fault.retryAfterS))
      return
    }

    const taken = await take(body, request.headers, receivedAtMs, met)
    if (taken.answer.status === 200 && met.some(({ kind }) => kind === 'answer_lost')) {
      end('answer_lost', taken.summary)
      request.socket.destroy()
      return
    }
    end(taken.answer.status, taken.summary)
    answer(response, taken.answer)
  }

  const batch: Endpoint = {
    name: 'batch',
    maxBytes: maxBodyBytes,
    answerOfStatus: (status, retryAfterS) => ({
      status,
      body: messages[status] ?? 'fault on demand',
      headers: retryAfterHeaders(retryAfterS),
    }),
    async take(body, headers, nowMs, met) {
      const captured = body ? await capture(body, headers['content-encoding'], nowMs) : tooLarge
      if (captured.kind === 'refused') return { answer: { status: captured.status, body: captured.message } }
      const { token, events, oversized, historicalMigration, sentAt } = captured
      const summary = { events: events.length, historicalMigration, sentAt }
      const answered = (status: number, text: string) => ({ answer: { status, body: text }, summary })
      if (events.some((event) => faultAbout('refuse_event', event, met))) {
        return answered(400, 'invalid event could not be processed')
      }
      const overLimit = new Set(events.filter((event) => faultAbout('billing_limit', event, met)))
      store.drop([...overLimit])
      keepFor(
        token,
        events.filter((event) => !overLimit.has(event)),
      )
      if (oversized) return answered(413, 'maximum event size exceeded')
      return { answer: json(200, { status: 'Ok' }), summary }
    },
  }

  const v1: Endpoint = {
    name: 'v1',
    maxBytes: maxBodyBytesV1,
    answerOfStatus: (status, retryAfterS) => {
      const { error, description } = v1Errors[status] ?? { error: 'fault_on_demand', description: 'fault on demand' }
      return errorOfV1(status, error, description, retryAfterHeaders(retryAfterS))
    },
    async take(body, headers, nowMs, met) {
      const captured = await captureV1(body, headers, nowMs)
      if (captured.kind === 'refused') {
        return { answer: errorOfV1(captured.status, captured.error, captured.description) }
      }
      const { token, events, historicalMigration } = captured
      const judgements = events.map((judged) => ({ event: judged.event, ...judgementOf(judged, met) }))
      keepFor(
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
      const answered = json(200, { results })
      return {
        answer: { ...answered, headers: { ...answered.headers, ...(wantsAgain && { 'retry-after': '1' }) } },
        summary: { events: events.length, historicalMigration, sentAt: null },
      }
    },
  }

  /** Where no project has the token, PostHog takes the events and throws them away. */
  function keepFor(token: string, events: readonly CapturedEvent[]): void {
    if (isKnown(token)) store.add(events)
    else store.drop(events)
  }

  async function counted(request: Promise<void>): Promise<void> {
    underWay += 1
    try {
      await request
    } finally {
      underWay -= 1
    }
  }

  async function flags(request: IncomingMessage): Promise<Answer> {
    const asked = FlagsRequest.safeParse(await readJson(request))
    if (!asked.success) return { status: 400, body: 'Failed to decode request' }
    const token = asked.data.token ?? asked.data.api_key ?? ''
    if (faultOfToken(token) !== null || !isKnown(token)) {
      return { status: 401, body: 'The provided API key is invalid or has expired. Please check your API key.' }
    }
    return json(200, { flags: {}, errorsWhileComputingFlags: false })
  }

  function eventsPage(query: URLSearchParams): Answer {
    const page = EventsQuery.safeParse(Object.fromEntries(query))
    if (!page.success) return json(400, { error: z.prettifyError(page.error) })
    const { offset, limit } = page.data
    const events: ({ uuid: string } & StoredEvent)[] = []
    let index = 0
    for (const [uuid, event] of store.stored) {
      if (index >= offset + limit) break
      if (index >= offset) events.push({ uuid, ...event })
      index += 1
    }
    return json(200, { events, next: index < store.stored.size ? index : null })
  }

  async function setFault(request: IncomingMessage): Promise<Answer> {
    const fault = Fault.safeParse(await readJson(request))
    if (!fault.success) return json(400, { error: z.prettifyError(fault.error) })
    faults.set(fault.data)
    return json(200, { fault: fault.data })
  }

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake')
    switch (`${request.method} ${url.pathname}`) {
      case 'POST /batch':
      case 'POST /batch/':
        return counted(receive(batch, request, response))
      case 'POST /i/v1/analytics/events':
      case 'POST /i/v1/analytics/events/':
        return counted(receive(v1, request, response))
      case 'POST /flags':
      case 'POST /flags/':
        return answer(response, await flags(request))
      case 'GET /_fake/counts':
        return answer(response, json(200, { requests, ...store.counts(), ...(makesPersons && persons.counts()) }))
      case 'GET /_fake/events':
        return answer(response, eventsPage(url.searchParams))
      case 'POST /_fake/faults':
        return answer(response, await setFault(request))
      case 'DELETE /_fake/faults':
        faults.clear()
        return answer(response, json(200, {}))
      default:
        if (await queries?.answer(request, response, () => readJson(request))) return
        request.resume()
        return answer(response, { status: 404, body: '' })
    }
  }

  const server = createServer((request, response) => {
    route(request, response).catch((error: unknown) => {
      // A client that went away, or stop(): there is nobody to answer.
      if (request.destroyed || stopping.signal.aborted) return
      answer(response, { status: 500, body: String(error) })
    })
  })
  // Longer than clients keep idle connections, so that only faults break them.
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const address = server.address()
  const boundPort = typeof address === 'object' && address !== null ? address.port : port

  return {
    url: `http://${host}:${boundPort}`,
    port: boundPort,
    stored: store.stored,
    persons,
    queries: queries?.controls ?? null,
    requests,
    batches,
    get underWay() {
      return underWay
    },
    fault: (fault) => faults.set(fault),
    clearFaults: () => faults.clear(),
    stop: () =>
      new Promise((resolve, reject) => {
        stopping.abort()
        server.close((error) => (error ? reject(error) : resolve()))
        server.closeAllConnections()
      }),
  }
}

const FlagsRequest = z.object({ token: z.string().optional(), api_key: z.string().optional() })
const EventsQuery = z.object({
  offset: z.coerce.number().int().nonnegative().default(0),
  limit: z.coerce.number().int().positive().max(100_000).default(1000),
})

function latencyMsOf(met: readonly Fault[]): number {
  return met.reduce((sum, fault) => (fault.kind === 'latency' ? sum + fault.ms : sum), 0)
}

function retryAfterHeaders(retryAfterS: number | undefined): Record<string, string> {
  return retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) }
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

function errorOfV1(status: number, error: string, description: string, headers?: Record<string, string>): Answer {
  const body = { error, error_description: description, error_uri: 'https://posthog.com/docs/api' }
  const answered = json(status, body)
  return { ...answered, headers: { ...answered.headers, ...headers } }
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
): { result: JudgedEvent['result'] | 'retry'; details?: string } {
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

const nothingUnderstood: Summary = { events: 0, historicalMigration: false, sentAt: null }

/** Null for a body over the limit, of which the rest is read and thrown away so that the client can hear the answer. */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += chunk.length
    if (bytes <= maxBytes) chunks.push(chunk)
  }
  return bytes <= maxBytes ? Buffer.concat(chunks) : null
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request, maxBodyBytes)
  try {
    return JSON.parse(body?.toString() ?? '')
  } catch {
    return undefined
  }
}

function json(status: number, body: unknown): Answer {
  return { status, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
}

function answer(response: ServerResponse, { status, body, headers }: Answer): void {
  response.writeHead(status, headers)
  response.end(body)
}
