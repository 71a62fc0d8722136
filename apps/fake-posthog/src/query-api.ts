import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { EventSearch, type Searched, type SearchOptions } from './event-search.ts'
import { createFaultBox, type Fault, type FaultInput } from './fault.ts'
import { type HttpReply, json, respond, retryAfter } from './http-reply.ts'
import { knownQuery } from './known-query.ts'
import type { StoredEvent } from './store.ts'

export interface QueryApiOptions extends SearchOptions {
  /** `phx_…`: the only key that may ask. */
  personalKey: string
  scopes?: readonly Scope[]
  /** Of the project that holds the events. */
  projectId?: number
  /** The key is for this project alone, and may list none. */
  ofOneProject?: boolean
}

type Scope = 'query:read' | 'project:read'

/** What a test or a rehearsal does to the answers. */
export interface QueryControls {
  /** The events that it is true for are not found, as if PostHog had lost them; instead of those that were lost before. */
  lose(which: (event: StoredEvent) => boolean): void
  /**
   * The distinct_ids that it names a person for belong to that person, as where PostHog has refused a merge, or other code
   * than the run's has made one; instead of those that were said before.
   */
  regroup(personOf: (distinctId: string) => string | undefined): void
  /** From now on it answers as if it had been started with these. */
  change(options: Partial<QueryApiOptions>): void
  /** `status`, `latency` and `reset` of queries. */
  fault(fault: FaultInput): void
  /** Queries that were answered or refused, the latest last, by status. */
  readonly asked: readonly { query: string; status: number }[]
  /** The most that were under way at the same moment. */
  readonly mostAtOnce: number
}

const otherProject = {
  id: 1,
  uuid: 'other',
  name: 'Another project',
  api_token: 'phc_another000000000000000000000000000000000',
}

/**
 * PostHog's query API as far as `heapferry verify` needs it: it knows the queries that heapferry sends, word by word,
 * and refuses every other. It has one more project than the one that holds the events, and limits as PostHog has.
 * @param projectKey of the project that holds the events
 */
export function createQueryApi(given: QueryApiOptions, { projectKey, ...searched }: Searched & { projectKey: string }) {
  let options = given
  const { projectId = 2 } = given
  const projects = [otherProject, { id: projectId, uuid: 'mine', name: 'The project', api_token: projectKey }]
  const search = new EventSearch(searched)
  const throttle = new Throttle()
  const faults = createFaultBox()
  const asked: { query: string; status: number }[] = []
  const cache = new Map<string, unknown[]>()

  /** @returns false where the path is none of the query API's */
  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    body: () => Promise<unknown>,
  ): Promise<boolean> {
    const url = new URL(request.url ?? '/', 'http://fake')
    const path = /^\/api\/projects\/(?:([^/]+)\/(query\/)?)?$/.exec(url.pathname)
    if (!path) return false
    const [, id, isQuery] = path
    if (request.method !== (isQuery ? 'POST' : 'GET')) return false
    const reply = isQuery
      ? await query(id ?? '', request, body)
      : (keyFault(request, options, 'project:read') ?? projectsReply(projects, options, id, url.searchParams))
    if (reply === 'reset') request.socket.resetAndDestroy()
    else respond(response, reply)
    return true
  }

  async function query(
    id: string,
    request: IncomingMessage,
    body: () => Promise<unknown>,
  ): Promise<HttpReply | 'reset'> {
    const nowMs = Date.now()
    const met = faults.meet(nowMs)
    const { text, refresh } = queryOf(await body())
    const reply =
      keyFault(request, options, 'query:read') ??
      (await throttle.within(nowMs, async () => (await faultReply(met)) ?? results(id, text, refresh)))
    if (reply !== 'reset') asked.push({ query: text, status: reply.status })
    return reply
  }

  function results(id: string, text: string, refresh: unknown): HttpReply {
    if (!projects.some((each) => String(each.id) === id)) return refused(404, 'not_found', 'Project not found.')
    const cached = refresh === 'force_blocking' ? undefined : cache.get(`${id} ${text}`)
    const rows = cached ?? rowsOf(text, id === String(projectId))
    if (rows === 'unknown') {
      return refused(400, 'invalid', 'This stand-in for PostHog knows only the queries that heapferry sends.')
    }
    if (rows === 'too_slow') {
      return refused(504, 'error', 'Query has hit the max execution time before completing.')
    }
    cache.set(`${id} ${text}`, rows)
    return json(200, { results: rows, is_cached: cached !== undefined, hasMore: false, error: null })
  }

  function rowsOf(text: string, hasEvents: boolean): unknown[] | 'unknown' | 'too_slow' {
    const known = knownQuery(text)
    if (known === null) return 'unknown'
    return hasEvents ? search.rowsOf(known, options) : []
  }

  const controls: QueryControls = {
    lose: (which) => search.lose(which),
    regroup: (personOf) => search.regroup(personOf),
    change(changes) {
      options = { ...options, ...changes }
    },
    fault: (fault) => faults.set(fault),
    asked,
    get mostAtOnce() {
      return throttle.mostAtOnce
    },
  }
  return { answer, controls, onStored: () => search.noteArrival() }
}

/** What is wrong with the key; null where nothing is. */
function keyFault(request: IncomingMessage, options: QueryApiOptions, scope: Scope): HttpReply | null {
  const { personalKey, scopes = ['query:read', 'project:read'] } = options
  if (request.headers.authorization !== `Bearer ${personalKey}`) {
    return refused(401, 'authentication_failed', 'Personal API key found in request Authorization header is invalid.')
  }
  return scopes.includes(scope) ? null : refused(403, 'permission_denied', `API key missing required scope '${scope}'`)
}

/** @param projects the one that the user looked at last comes first, the one that holds the events last */
function projectsReply(
  projects: readonly { id: number }[],
  { ofOneProject }: QueryApiOptions,
  id: string | undefined,
  params: URLSearchParams,
): HttpReply {
  if (id !== undefined) {
    const one = id === '@current' ? projects.at(ofOneProject ? -1 : 0) : projects.find((each) => String(each.id) === id)
    return one ? json(200, one) : refused(404, 'not_found', 'Project not found.')
  }
  if (ofOneProject) {
    return refused(
      403,
      'permission_denied',
      'API keys with scoped projects are only supported on project-based endpoints.',
    )
  }
  const [offset, limit] = [Number(params.get('offset') ?? 0), Number(params.get('limit') ?? 100)]
  const next = offset + limit < projects.length ? `http://fake/api/projects/?offset=${offset + limit}` : null
  return json(200, { count: projects.length, next, previous: null, results: projects.slice(offset, offset + limit) })
}

async function faultReply(met: readonly Fault[]): Promise<HttpReply | 'reset' | null> {
  for (const fault of met) if (fault.kind === 'latency') await sleep(fault.ms)
  if (met.some((fault) => fault.kind === 'reset')) return 'reset'
  const fault = met.find((one) => one.kind === 'status')
  return fault ? retryAfter(refused(fault.status, 'error', 'fault on demand'), fault.retryAfterS) : null
}

const queriesAtOnce = 3
const perMinute = 240

/** PostHog's limits of queries, at once and in a minute. */
class Throttle {
  readonly #begunAtMs: number[] = []
  #atOnce = 0
  mostAtOnce = 0

  async within<T>(nowMs: number, answer: () => Promise<T>): Promise<T | HttpReply> {
    this.#begunAtMs.push(nowMs)
    if (this.#begunAtMs.filter((ms) => nowMs - ms < 60_000).length > perMinute) {
      return retryAfter(refused(429, 'throttled', 'Request was throttled.'), 20)
    }
    if (this.#atOnce >= queriesAtOnce) {
      return refused(429, 'throttled', `Concurrency limit of ${queriesAtOnce} exceeded.`)
    }
    this.#atOnce++
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce)
    try {
      return await answer()
    } finally {
      this.#atOnce--
    }
  }
}

function refused(status: number, code: string, detail: string): HttpReply {
  return json(status, { type: status === 400 ? 'validation_error' : 'error', code, detail, attr: null })
}

function queryOf(body: unknown): { text: string; refresh: unknown } {
  const { query, refresh } = objectOf(body)
  const { kind, query: text } = objectOf(query)
  return { text: kind === 'HogQLQuery' && typeof text === 'string' ? text : '', refresh }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}
