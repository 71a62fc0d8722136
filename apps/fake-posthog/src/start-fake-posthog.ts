import { setMaxListeners } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { z } from 'zod'
import { faultOfToken } from './capture.ts'
import { eventsPage, setFault } from './controls.ts'
import { batchEndpoint, type Keeper, v1Endpoint } from './endpoints.ts'
import { createFaultBox, type FaultInput } from './fault.ts'
import { type HttpReply, json, readJson, respond } from './http-reply.ts'
import { createPersons, type Persons } from './persons.ts'
import { createQueryApi, type QueryApiOptions, type QueryControls } from './query-api.ts'
import { type ReceivedBatch, Receiver } from './receiver.ts'
import { createStore, type StoredEvent } from './store.ts'

export interface FakePostHogOptions {
  /** 0, the default, takes a free one. */
  port?: number
  host?: string
  /** The one token that has a project. Without it every well-shaped token has. */
  apiKey?: string
  /** `events` also keeps properties. */
  keep?: 'ids' | 'events'
  /** Whether it has `/flags/`, as a proxy for events alone has not. True, unless told otherwise. */
  flags?: boolean
  /** Whether events make persons. True, unless told otherwise. */
  persons?: boolean
  /** Answers `heapferry verify`; needs `keep: 'events'`. */
  queries?: QueryApiOptions
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

/**
 * PostHog's capture service for rehearsals and tests: its rules for `/batch/`, v1 (`/i/v1/analytics/events`, an answer for
 * every event) and `/flags/`, faults on demand, a memory of what it stored, and the persons that PostHog would make of
 * that. Other processes ask and steer it under `/_fake/`: `GET counts`, `GET events?offset=&limit=`, `POST faults` (one
 * fault), `DELETE faults`.
 */
export async function startFakePostHog(options: FakePostHogOptions = {}): Promise<FakePostHog> {
  const { port = 0, host = '127.0.0.1', apiKey, keep = 'ids', flags = true, persons: makesPersons = true } = options
  const persons = createPersons(keep)
  const store = createStore(keep, (event) => {
    if (makesPersons) persons.add(event)
    queries?.onStored()
  })
  if (options.queries && keep !== 'events') throw new Error("queries ask for properties: they need keep: 'events'")
  const queries =
    options.queries && createQueryApi(options.queries, { projectKey: apiKey ?? '', stored: store.stored, persons })
  const faults = createFaultBox()
  const stopping = new AbortController()
  // Every request that a fault holds up listens to it.
  setMaxListeners(0, stopping.signal)
  const receiver = new Receiver(faults, stopping.signal)
  const isKnown = (token: string) => apiKey === undefined || token === apiKey
  const keeper: Keeper = {
    keep: (token, events) => (isKnown(token) ? store.add(events) : store.drop(events)),
    drop: (events) => store.drop(events),
  }
  const [batch, v1] = [batchEndpoint(keeper), v1Endpoint(keeper)]

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake')
    switch (`${request.method} ${url.pathname}`) {
      case 'POST /batch':
      case 'POST /batch/':
        return receiver.receive(batch, request, response)
      case 'POST /i/v1/analytics/events':
      case 'POST /i/v1/analytics/events/':
        return receiver.receive(v1, request, response)
      case 'POST /flags':
      case 'POST /flags/': {
        const reply = flagsReply(await readJson(request), isKnown)
        return respond(response, flags ? reply : { status: 404, body: '' })
      }
      case 'GET /_fake/counts': {
        const { requests } = receiver
        return respond(response, json(200, { requests, ...store.counts(), ...(makesPersons && persons.counts()) }))
      }
      case 'GET /_fake/events':
        return respond(response, eventsPage(store.stored, url.searchParams))
      case 'POST /_fake/faults':
        return respond(response, await setFault(faults, request))
      case 'DELETE /_fake/faults':
        faults.clear()
        return respond(response, json(200, {}))
      default:
        if (await queries?.answer(request, response, () => readJson(request))) return
        request.resume()
        return respond(response, { status: 404, body: '' })
    }
  }

  const server = createServer((request, response) => {
    route(request, response).catch((error: unknown) => {
      // A client that went away, or stop(): there is nobody to answer.
      if (request.destroyed || stopping.signal.aborted) return
      respond(response, { status: 500, body: String(error) })
    })
  })
  const boundPort = await listen(server, host, port)

  return {
    url: `http://${host}:${boundPort}`,
    port: boundPort,
    stored: store.stored,
    persons,
    queries: queries?.controls ?? null,
    requests: receiver.requests,
    batches: receiver.batches,
    get underWay() {
      return receiver.underWay
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

async function listen(server: Server, host: string, port: number): Promise<number> {
  // Longer than clients keep idle connections, so that only faults break them.
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : port
}

const FlagsRequest = z.object({ token: z.string().optional(), api_key: z.string().optional() })

function flagsReply(body: unknown, isKnown: (token: string) => boolean): HttpReply {
  const asked = FlagsRequest.safeParse(body)
  if (!asked.success) return { status: 400, body: 'Failed to decode request' }
  const token = asked.data.token ?? asked.data.api_key ?? ''
  if (faultOfToken(token) !== null || !isKnown(token)) {
    return { status: 401, body: 'The provided API key is invalid or has expired. Please check your API key.' }
  }
  return json(200, { flags: {}, errorsWhileComputingFlags: false })
}
