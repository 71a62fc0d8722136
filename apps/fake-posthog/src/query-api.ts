import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createFaultBox, type FaultInput } from './fault.ts'
import type { Person, Persons } from './persons.ts'
import type { StoredEvent } from './store.ts'

export interface QueryApiOptions {
  /** `phx_…`: the only key that may ask. */
  personalKey: string
  scopes?: readonly ('query:read' | 'project:read')[]
  /** Of the project that holds the events. */
  projectId?: number
  /** The key is for this project alone, and may list none. */
  ofOneProject?: boolean
  /** Events are found so long after they arrived. */
  lagMs?: number
  /** Copies of an event are counted, as until PostHog has merged them. */
  unmerged?: boolean
  /** A query that would read more events is broken off, as one that takes more than ten seconds. */
  maxEvents?: number
}

/** What a test or a rehearsal does to the answers. */
export interface QueryControls {
  /** The events that it is true for are not found, as if PostHog had lost them; instead of those that were lost before. */
  lose(which: (event: StoredEvent) => boolean): void
  /** From now on it answers as if it had been started with these. */
  change(options: Partial<QueryApiOptions>): void
  /** `status`, `latency` and `reset` of queries. */
  fault(fault: FaultInput): void
  /** Queries that were answered or refused, the latest last, by status. */
  readonly asked: readonly { query: string; status: number }[]
  /** The most that were under way at the same moment. */
  readonly mostAtOnce: number
}

interface Work extends QueryApiOptions {
  projectKey: string
  stored: ReadonlyMap<string, StoredEvent>
  persons: Pick<Persons, 'personOf'>
}

const maxRows = 50_000
const queriesAtOnce = 3
const perMinute = 240
const otherProject = {
  id: 1,
  uuid: 'other',
  name: 'Another project',
  api_token: 'phc_another000000000000000000000000000000000',
}

/**
 * PostHog's query API as far as `heapferry verify` needs it: it knows the two queries that heapferry sends, word by word,
 * and refuses every other. It has one more project than the one that holds the events, and limits as PostHog has.
 */
export function createQueryApi(given: Work) {
  let work = given
  const { projectId = 2 } = work
  const project = { id: projectId, uuid: 'mine', name: 'The project', api_token: work.projectKey }
  const faults = createFaultBox()
  const asked: { query: string; status: number }[] = []
  const begunAtMs: number[] = []
  const arrivedAtMs: number[] = []
  let isLost: (event: StoredEvent) => boolean = nothing
  const cache = new Map<string, unknown[]>()
  const idsOfPersons = new WeakMap<Person, string>()
  let persons = 0
  let atOnce = 0
  let mostAtOnce = 0

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
      : (ready(request, 'project:read') ?? projects(id, url.searchParams))
    if (reply === 'reset') request.socket.resetAndDestroy()
    else {
      response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
      response.end(JSON.stringify(reply.body))
    }
    return true
  }

  /** What is wrong with the key; null where nothing is. */
  function ready(request: IncomingMessage, scope: 'query:read' | 'project:read'): Reply | null {
    if (request.headers.authorization !== `Bearer ${work.personalKey}`) {
      return refused(401, 'authentication_failed', 'Personal API key found in request Authorization header is invalid.')
    }
    const { scopes = ['query:read', 'project:read'] } = work
    return scopes.includes(scope)
      ? null
      : refused(403, 'permission_denied', `API key missing required scope '${scope}'`)
  }

  function projects(id: string | undefined, params: URLSearchParams): Reply {
    const all = [otherProject, project]
    if (id !== undefined) {
      // The project that the user looked at last.
      const one =
        id === '@current' ? (work.ofOneProject ? project : otherProject) : all.find((each) => String(each.id) === id)
      return one ? { status: 200, body: one } : refused(404, 'not_found', 'Project not found.')
    }
    if (work.ofOneProject) {
      return refused(
        403,
        'permission_denied',
        'API keys with scoped projects are only supported on project-based endpoints.',
      )
    }
    const [offset, limit] = [Number(params.get('offset') ?? 0), Number(params.get('limit') ?? 100)]
    const next = offset + limit < all.length ? `http://fake/api/projects/?offset=${offset + limit}` : null
    return {
      status: 200,
      body: { count: all.length, next, previous: null, results: all.slice(offset, offset + limit) },
    }
  }

  async function query(id: string, request: IncomingMessage, body: () => Promise<unknown>): Promise<Reply | 'reset'> {
    const nowMs = Date.now()
    const met = faults.meet(nowMs)
    const { text, refresh } = queryOf(await body())
    const end = (reply: Reply): Reply => {
      asked.push({ query: text, status: reply.status })
      return reply
    }
    const keyFault = ready(request, 'query:read')
    if (keyFault) return end(keyFault)
    begunAtMs.push(nowMs)
    if (begunAtMs.filter((ms) => nowMs - ms < 60_000).length > perMinute) {
      return end({ ...refused(429, 'throttled', 'Request was throttled.'), headers: { 'retry-after': '20' } })
    }
    if (atOnce >= queriesAtOnce)
      return end(refused(429, 'throttled', `Concurrency limit of ${queriesAtOnce} exceeded.`))
    atOnce++
    mostAtOnce = Math.max(mostAtOnce, atOnce)
    try {
      for (const fault of met) if (fault.kind === 'latency') await sleep(fault.ms)
      if (met.some((fault) => fault.kind === 'reset')) return 'reset'
      const status = met.find((fault) => fault.kind === 'status')
      if (status) {
        const headers: Record<string, string> =
          status.retryAfterS === undefined ? {} : { 'retry-after': String(status.retryAfterS) }
        return end({ ...refused(status.status, 'error', 'fault on demand'), headers })
      }
      return end(answerOf(id, text, refresh))
    } finally {
      atOnce--
    }
  }

  function answerOf(id: string, text: string, refresh: unknown): Reply {
    if (![otherProject, project].some((each) => String(each.id) === id)) {
      return refused(404, 'not_found', 'Project not found.')
    }
    const cached = refresh === 'force_blocking' ? undefined : cache.get(`${id} ${text}`)
    const results = cached ?? resultsOf(text, id === String(project.id))
    if (results === 'unknown') {
      return refused(400, 'invalid', 'This stand-in for PostHog knows only the queries that heapferry sends.')
    }
    if (results === 'too_slow') {
      return refused(504, 'error', 'Query has hit the max execution time before completing.')
    }
    cache.set(`${id} ${text}`, results)
    return { status: 200, body: { results, is_cached: cached !== undefined, hasMore: false, error: null } }
  }

  function resultsOf(text: string, hasEvents: boolean): unknown[] | 'unknown' | 'too_slow' {
    const counts = countPattern.exec(text)
    if (counts) {
      const [, from = '', to = '', run = '', limit = ''] = counts
      const rows = hasEvents ? count(Date.parse(from), Date.parse(to), textOf(run)) : []
      return rows === 'too_slow' ? rows : rows.slice(0, Math.min(Number(limit), maxRows))
    }
    const people = personsPattern.exec(text)
    if (!people) return 'unknown'
    const ids = [...(people[1] ?? '').matchAll(literals)].map(([literal]) => textOf(literal))
    return ids.flatMap((id) => {
      const person = hasEvents ? work.persons.personOf(id) : undefined
      return person ? [[id, idOf(person)]] : []
    })
  }

  function count(fromMs: number, toMs: number, run: string): unknown[][] | 'too_slow' {
    const foundAtMs = Date.now() - (work.lagMs ?? 0)
    const groups = new Map<
      string,
      { day: number; event: string; stored: number; different: number; uuids: Set<string> }
    >()
    let read = 0
    let nth = 0
    for (const [key, stored] of work.stored) {
      const isFound = (arrivedAtMs[nth++] ?? 0) <= foundAtMs && !isLost(stored)
      const atMs = Date.parse(stored.timestamp)
      if (!isFound || atMs < fromMs || atMs >= toMs) continue
      read++
      if (stored.properties?.['$import_job_id'] !== run) continue
      const day = Math.floor(atMs / 86_400_000)
      const name = `${String(day).padStart(8, '0')} ${stored.event}`
      const group = groups.get(name) ?? { day, event: stored.event, stored: 0, different: 0, uuids: new Set() }
      groups.set(name, group)
      group.stored += work.unmerged ? stored.times : 1
      group.different++
      // A second row under a known uuid has a number behind it.
      group.uuids.add(key.slice(0, 36))
    }
    if (read > (work.maxEvents ?? Number.POSITIVE_INFINITY)) return 'too_slow'
    return [...groups]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { day, event, stored, different, uuids }]) => [day, event, stored, different, uuids.size])
  }

  function idOf(person: Person): string {
    const known = idsOfPersons.get(person)
    if (known !== undefined) return known
    persons++
    const id = `00000000-0000-4000-8000-${String(persons).padStart(12, '0')}`
    idsOfPersons.set(person, id)
    return id
  }

  const controls: QueryControls = {
    lose(which) {
      isLost = which
    },
    change(options) {
      work = { ...work, ...options }
    },
    fault: (fault) => faults.set(fault),
    asked,
    get mostAtOnce() {
      return mostAtOnce
    },
  }
  return { answer, controls, onStored: (): unknown => arrivedAtMs.push(Date.now()) }
}

function nothing(): boolean {
  return false
}

interface Reply {
  status: number
  body: unknown
  headers?: Record<string, string>
}

function refused(status: number, code: string, detail: string): Reply {
  return { status, body: { type: status === 400 ? 'validation_error' : 'error', code, detail, attr: null } }
}

function queryOf(body: unknown): { text: string; refresh: unknown } {
  const { query, refresh } = objectOf(body)
  const { kind, query: text } = objectOf(query)
  return { text: kind === 'HogQLQuery' && typeof text === 'string' ? text : '', refresh }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

const literal = String.raw`'(?:[^'\\]|\\.)*'`
const literals = new RegExp(literal, 'gs')
const time = String.raw`toDateTime\('(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)'\)`
const countPattern = new RegExp(
  String.raw`^SELECT intDiv\(toUnixTimestamp\(timestamp\), 86400\) AS day, event, count\(\) AS stored, ` +
    String.raw`uniqExact\(uuid, distinct_id, timestamp\) AS different, uniqExact\(uuid\) AS uuids FROM events ` +
    String.raw`WHERE timestamp >= ${time} AND timestamp < ${time} AND properties\.\$import_job_id = (${literal}) ` +
    String.raw`GROUP BY day, event ORDER BY day, event LIMIT (\d+)$`,
  's',
)
const personsPattern = new RegExp(
  String.raw`^SELECT distinct_id, person_id FROM person_distinct_ids WHERE distinct_id IN \((${literal}(?:, ${literal})*)\) LIMIT \d+$`,
  's',
)

/** The text that a string of HogQL stands for. */
function textOf(quoted: string): string {
  return quoted.slice(1, -1).replaceAll(/\\(.)/gs, (_, sign: string) => escapes[sign] ?? sign)
}

const escapes: Record<string, string> = { b: '\b', f: '\f', r: '\r', n: '\n', t: '\t', 0: '\0', v: '\v' }
