import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { type Capture, capture, faultOfToken, maxBodyBytes, tooLarge } from './capture.ts'
import { createFaultBox, Fault, type FaultInput, refuses } from './fault.ts'
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

/** A request to `/batch/`, in order of arrival; the latest 10,000 are kept. */
export interface ReceivedBatch {
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
  /** Requests to `/batch/` by outcome: `{ '200': 12, '429': 3, answer_lost: 1 }`. */
  requests: Readonly<Record<string, number>>
  batches: readonly ReceivedBatch[]
  /** Requests to `/batch/` that have not been answered yet. */
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

/**
 * PostHog's capture service for rehearsals and tests: its rules for `/batch/` and `/flags/`, faults on demand, a memory of
 * what it stored, and the persons that PostHog would make of that. Other processes ask and steer it under `/_fake/`:
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

  async function batch(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const receivedAtMs = Date.now()
    const met = faults.meet(receivedAtMs)
    const body = await readBody(request, maxBodyBytes)
    const latencyMs = latencyMsOf(met)
    if (latencyMs > 0) await sleep(latencyMs, undefined, { signal: stopping.signal })

    const end = (outcome: ReceivedBatch['outcome'], captured?: Capture) => {
      requests[outcome] = (requests[outcome] ?? 0) + 1
      const bytes = body?.length ?? 0
      batches.push({ receivedAtMs, outcome, bytes, ...summaryOf(captured) })
      if (batches.length > 10_000) batches.shift()
    }

    if (met.some((fault) => fault.kind === 'reset')) {
      end('reset')
      request.socket.resetAndDestroy()
      return
    }
    const status = met.find((fault) => fault.kind === 'status')
    if (status) {
      end(status.status)
      answer(response, answerOfStatus(status.status, status.retryAfterS))
      return
    }

    const captured = body ? await capture(body, request.headers['content-encoding'], receivedAtMs) : tooLarge
    if (stopping.signal.aborted) return
    const answered = accept(captured, met)
    if (answered.status === 200 && met.some((fault) => fault.kind === 'answer_lost')) {
      end('answer_lost', captured)
      request.socket.destroy()
      return
    }
    end(answered.status, captured)
    answer(response, answered)
  }

  function accept(captured: Capture, met: readonly Fault[]): Answer {
    if (captured.kind === 'refused') return { status: captured.status, body: captured.message }
    const isRefused = met.some(
      (fault) => fault.kind === 'refuse_event' && captured.events.some((event) => refuses(fault, event)),
    )
    if (isRefused) return { status: 400, body: 'invalid event could not be processed' }
    if (isKnown(captured.token)) store.add(captured.events)
    else store.drop(captured.events)
    if (captured.oversized) return { status: 413, body: 'maximum event size exceeded' }
    return json(200, { status: 'Ok' })
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
        underWay += 1
        return batch(request, response).finally(() => {
          underWay -= 1
        })
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

function answerOfStatus(status: number, retryAfterS: number | undefined): Answer {
  const headers: Record<string, string> = retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) }
  return { status, headers, body: messages[status] ?? 'fault on demand' }
}

const messages: Record<number, string> = { 429: 'rate limited', 503: 'transient error, please retry' }

function summaryOf(captured: Capture | undefined) {
  if (captured?.kind !== 'captured') return { events: 0, historicalMigration: false, sentAt: null }
  const { events, historicalMigration, sentAt } = captured
  return { events: events.length, historicalMigration, sentAt }
}

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
