import { setTimeout as sleep } from 'node:timers/promises'
import { type FoundEvents, OperatorError, type RunId, type TimeRange } from '@heapferry/domain'
import pMap from 'p-map'
import { Agent } from 'undici'
import { z } from 'zod'
import { countQuery, maxRows, personsQuery } from './hogql.ts'
import { get, post, type Reply } from './post.ts'
import { retryAfterMs } from './transport.ts'

export interface QueriesOptions {
  /** Where people use PostHog, not where events are sent to; without a trailing `/`. */
  appHost: string
  /** `phx_…` */
  personalKey: string
  /** Ends waiting and asking: what is asked then rejects. */
  signal: AbortSignal
  /** Told when PostHog wants to be asked later. */
  onWaiting?: (detail: string, forMs: number) => void
  /** Requests that PostHog takes of one key. */
  limits?: { perMinute: number; perHour: number }
  /** The first wait after an answer that says nothing of how long; doubled up to a minute. */
  firstWaitMs?: number
}

/** Asks PostHog what it holds. Every method throws an OperatorError where only a person can help. */
export interface Queries {
  /**
   * The project that has a key, and whether its key was seen: a key that may not read projects is taken at its word.
   * @param wanted the project's id, where the user says it
   */
  findProject(wanted: string | undefined, isItsKey: (apiToken: string) => boolean): Promise<Project>
  /** A day whose events had to be counted in parts is answered in parts. Ranges begin and end with a day (UTC). */
  countEvents(project: string, run: RunId, ranges: readonly TimeRange[]): Promise<FoundEvents[]>
  /** By distinct_id; those that PostHog does not know are left out. */
  personIds(project: string, distinctIds: readonly string[]): Promise<Map<string, string>>
  /** Breaks off what is in flight. */
  close(): Promise<void>
}

export interface Project {
  id: string
  confirmed: boolean
}

// PostHog runs three queries of a team at a time and ten seconds of each; more wait in line or are refused.
const queriesAtOnce = 3
const timeoutMs = 60_000
const publicLimits = { perMinute: 240, perHour: 2400 }
const longestWaitMs = 60_000
// Two minutes of outage. Then a person should know rather than a command that hangs.
const tries = 8
const idsPerQuery = 500
const dayMs = 86_400_000
const shortestRangeMs = 60_000

type Answer =
  | { kind: 'answered'; body: string }
  /** The query takes too long, or too much memory. */
  | { kind: 'too_much' }
  | Refused

interface Refused {
  kind: 'refused'
  status: number
  /** In PostHog's words. */
  detail: string
}

interface Found {
  kind: 'found'
  id: string
  apiToken: string
}

export function createQueries({
  appHost,
  personalKey,
  signal,
  onWaiting = () => {},
  limits = publicLimits,
  firstWaitMs = 1000,
}: QueriesOptions): Queries {
  const dispatcher = new Agent()
  const headers = { authorization: `Bearer ${personalKey}`, 'content-type': 'application/json' }
  const turn = turns(limits, signal)

  /** Asks until there is an answer that stays the same when asked again. */
  async function ask(path: string, query: string | null): Promise<Answer> {
    let waitMs = firstWaitMs
    for (let attempt = 1; ; attempt++) {
      await turn()
      const reply = await exchange(path, query)
      signal.throwIfAborted()
      if (reply.kind === 'answered') {
        const { status, body } = reply
        if (status === 200) return { kind: 'answered', body }
        // Of PostHog's own: it took too long or too much memory (504), or would (512).
        if (query !== null && (status === 504 || status === 512)) return { kind: 'too_much' }
        if (status !== 429 && status < 500) return { kind: 'refused', status, detail: detailOf(body, personalKey) }
      }
      const isPacing = reply.kind === 'answered' && reply.status === 429
      if (attempt >= tries && !isPacing) throw unreachable(reply, appHost, personalKey)
      const told = reply.kind === 'answered' ? retryAfterMs(reply.retryAfter, Date.now()) : null
      const forMs = told ?? waitMs
      waitMs = Math.min(waitMs * 2, longestWaitMs)
      onWaiting(reply.kind === 'answered' ? `PostHog answers ${reply.status}` : reply.detail, forMs)
      await sleep(forMs, undefined, { signal })
    }
  }

  function exchange(path: string, query: string | null): Promise<Reply> {
    const url = `${appHost}${path}`
    if (query === null) return get(url, { dispatcher, headers, timeoutMs })
    // Without force_blocking PostHog may answer what it found some time ago.
    const body = JSON.stringify({
      query: { kind: 'HogQLQuery', query },
      name: 'heapferry verify',
      refresh: 'force_blocking',
    })
    return post(url, { dispatcher, headers, body, timeoutMs })
  }

  async function rowsOf<T extends z.ZodType>(
    project: string,
    query: string,
    row: T,
  ): Promise<z.infer<T>[] | 'too_much'> {
    const answer = await ask(`/api/projects/${encodeURIComponent(project)}/query/`, query)
    if (answer.kind === 'too_much') return answer.kind
    if (answer.kind === 'refused') throw queryRefused(answer.status, answer.detail, project)
    const { results, hasMore } = parsedBy(z.object({ ...QueryAnswer.shape, results: z.array(row) }), answer.body)
    return results.length >= maxRows || hasMore === true ? 'too_much' : results
  }

  async function countRange(project: string, run: RunId, range: TimeRange): Promise<FoundEvents[]> {
    const rows = await rowsOf(project, countQuery(run, range), CountRow)
    if (rows !== 'too_much') {
      return rows.map(([day, event, stored, different, uuids]) => ({ event, day, rows: stored, different, uuids }))
    }
    const halves = halvesOf(range)
    if (!halves) throw tooSlow(range)
    return [...(await countRange(project, run, halves[0])), ...(await countRange(project, run, halves[1]))]
  }

  async function personsOf(project: string, ids: readonly string[]): Promise<[string, string][]> {
    const rows = await rowsOf(project, personsQuery(ids), PersonRow)
    if (rows !== 'too_much') return rows
    if (ids.length < 2) throw notPostHog(appHost, 'it takes too long to find one person')
    const middle = Math.ceil(ids.length / 2)
    return [...(await personsOf(project, ids.slice(0, middle))), ...(await personsOf(project, ids.slice(middle)))]
  }

  async function projectAt(id: string): Promise<Found | Refused> {
    const answer = await ask(`/api/projects/${id}/`, null)
    if (answer.kind !== 'answered') return refusalOf(answer)
    const project = parsedBy(ProjectAnswer, answer.body)
    return { kind: 'found', id: String(project.id), apiToken: project.api_token }
  }

  function parsedBy<T extends z.ZodType>(schema: T, body: string): z.infer<T> {
    const json = parseJson(body)
    if (json === undefined) throw notPostHog(appHost, 'the answer is no JSON')
    const parsed = schema.safeParse(json)
    if (parsed.success) return parsed.data
    const [issue] = parsed.error.issues
    throw notPostHog(appHost, `${issue?.path.join('.')}: ${issue?.message}`)
  }

  return {
    async findProject(wanted, isItsKey) {
      if (wanted !== undefined) {
        const project = await projectAt(encodeURIComponent(wanted))
        if (project.kind === 'found') {
          if (isItsKey(project.apiToken)) return { id: wanted, confirmed: true }
          throw otherProject(wanted)
        }
        // A key that may only query does as well, if the user knows the project.
        if (isScopeMissing(project)) return { id: wanted, confirmed: false }
        throw projectRefused(project, appHost, wanted)
      }
      // A key for one project may not list any, but may ask for its own.
      const current = await projectAt('@current')
      if (current.kind === 'found' && isItsKey(current.apiToken)) return { id: current.id, confirmed: true }
      let seen = 0
      for (let more = true; more; ) {
        const answer = await ask(`/api/projects/?limit=${projectsPerPage}&offset=${seen}`, null)
        if (answer.kind !== 'answered') {
          if (current.kind === 'found') throw noSuchProject(1)
          throw projectRefused(current, appHost, null)
        }
        const { results, next } = parsedBy(ProjectsPage, answer.body)
        const match = results.find(({ api_token }) => isItsKey(api_token))
        if (match) return { id: String(match.id), confirmed: true }
        seen += results.length
        more = typeof next === 'string' && results.length > 0
      }
      throw noSuchProject(seen)
    },

    async countEvents(project, run, ranges) {
      const found = await pMap(ranges, (range) => countRange(project, run, range), { concurrency: queriesAtOnce })
      return found.flat()
    },

    async personIds(project, distinctIds) {
      const parts = Array.from({ length: Math.ceil(distinctIds.length / idsPerQuery) }, (_, nth) =>
        distinctIds.slice(nth * idsPerQuery, (nth + 1) * idsPerQuery),
      )
      const found = await pMap(parts, (ids) => personsOf(project, ids), { concurrency: queriesAtOnce })
      return new Map(found.flat())
    },

    close: () => dispatcher.destroy(),
  }
}

const projectsPerPage = 100
const ProjectAnswer = z.object({ id: z.union([z.int(), z.string()]), api_token: z.string() })
const ProjectsPage = z.object({ results: z.array(ProjectAnswer), next: z.string().nullish() })

const QueryAnswer = z.object({
  hasMore: z.boolean().nullish(),
  is_cached: z.literal(false, 'it is what PostHog found some time ago').nullish(),
  error: z.null('the query failed').optional(),
})
const Count = z.int().nonnegative()
const CountRow = z.tuple([z.int(), z.string(), Count, Count, Count])
const PersonRow = z.tuple([z.string(), z.string()])

/** Whole days while there are several: only then is a uuid that stands at two times counted once. */
function halvesOf({ fromMs, toMs }: TimeRange): [TimeRange, TimeRange] | null {
  const widthMs = toMs - fromMs
  if (widthMs < 2 * shortestRangeMs) return null
  const unitMs = widthMs >= 2 * dayMs ? dayMs : shortestRangeMs
  const middleMs = fromMs + Math.floor(widthMs / unitMs / 2) * unitMs
  return [
    { fromMs, toMs: middleMs },
    { fromMs: middleMs, toMs },
  ]
}

/** Lets requests begin as often as PostHog takes them. */
function turns(
  { perMinute, perHour }: { perMinute: number; perHour: number },
  signal: AbortSignal,
): () => Promise<void> {
  const begun: number[] = []
  const firstOf = (limit: number): number => begun[begun.length - limit] ?? Number.NEGATIVE_INFINITY
  return async () => {
    for (;;) {
      const waitMs = Math.max(firstOf(perMinute) + 60_000, firstOf(perHour) + 3_600_000) - Date.now()
      if (waitMs <= 0) break
      await sleep(waitMs, undefined, { signal })
    }
    begun.push(Date.now())
    if (begun.length > perHour) begun.shift()
  }
}

/** What PostHog says of an error, in its own words; never the key. */
function detailOf(body: string, personalKey: string): string {
  const parsed = z.object({ detail: z.string() }).safeParse(parseJson(body))
  return (parsed.success ? parsed.data.detail : body).replaceAll(personalKey, '[personal key]').trim().slice(0, 200)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Only queries are too much. */
function refusalOf(answer: Exclude<Answer, { kind: 'answered' }>): Refused {
  return answer.kind === 'refused' ? answer : { kind: 'refused', status: 504, detail: '' }
}

function isScopeMissing({ status, detail }: Refused): boolean {
  return status === 403 && detail.includes('scope')
}

const whereKeysAreMade =
  'Make one in PostHog under Settings → Personal API keys, with the scopes query:read and project:read.'

function keyRefused(detail: string): OperatorError {
  return new OperatorError(
    `PostHog does not know the personal key (${detail})`,
    `${whereKeysAreMade} A project in the EU needs a key that was made there.`,
  )
}

function scopeRefused(detail: string, needed: string): OperatorError {
  return new OperatorError(`The personal key may not do this (${detail})`, needed)
}

function projectRefused(refused: Refused, appHost: string, wanted: string | null): OperatorError {
  if (refused.status === 401) return keyRefused(refused.detail)
  if (wanted !== null && (refused.status === 403 || refused.status === 404)) {
    return new OperatorError(
      `The personal key cannot see the project ${wanted} (${refused.detail})`,
      'The number of a project stands in its address in PostHog and in its settings; the key needs access to it.',
    )
  }
  if (refused.status === 403) {
    return scopeRefused(
      refused.detail,
      'Give it the scope project:read, so that the project of the run can be found, or set POSTHOG_PROJECT_ID (--project).',
    )
  }
  return notPostHog(appHost, `${refused.status}: ${refused.detail}`)
}

function queryRefused(status: number, detail: string, project: string): OperatorError {
  switch (status) {
    case 401:
      return keyRefused(detail)
    case 402:
      return new OperatorError(
        `PostHog takes no more queries of this organization (${detail})`,
        'Raise its limit for API queries in the billing settings, or wait until the month is over.',
      )
    case 403:
      return scopeRefused(detail, `${whereKeysAreMade} It needs access to the project ${project}.`)
    case 404:
      return new OperatorError(
        `PostHog has no project ${project} for this personal key (${detail})`,
        'The number of a project stands in its address in PostHog and in its settings (POSTHOG_PROJECT_ID, --project).',
      )
    default:
      return new OperatorError(
        `PostHog does not take the query (${status}: ${detail})`,
        'Please report it: PostHog may have changed what it understands. Nothing that was sent is lost.',
      )
  }
}

function otherProject(wanted: string): OperatorError {
  return new OperatorError(
    `The project ${wanted} is not the one that the run was sent to: its project key is another`,
    'Leave POSTHOG_PROJECT_ID (--project) out, and the project is found by its key.',
  )
}

function noSuchProject(seen: number): OperatorError {
  return new OperatorError(
    `None of the ${seen} projects that the personal key can see is the one that the run was sent to`,
    'Use the key of somebody who can see it, and who is in its organization at present, or set POSTHOG_PROJECT_ID (--project).',
  )
}

function tooSlow({ fromMs }: TimeRange): OperatorError {
  return new OperatorError(
    `PostHog takes too long to count even the minute ${new Date(fromMs).toISOString().slice(0, 16)}`,
    'Try again at a quieter time.',
  )
}

function unreachable(reply: Reply, appHost: string, personalKey: string): OperatorError {
  const why = reply.kind === 'answered' ? `${reply.status}: ${detailOf(reply.body, personalKey)}` : reply.detail
  return new OperatorError(
    `PostHog cannot be asked at ${appHost} (${why})`,
    'Try again later. If POSTHOG_HOST is a proxy, set POSTHOG_APP_HOST to where you use PostHog in a browser.',
  )
}

function notPostHog(appHost: string, why: string): OperatorError {
  return new OperatorError(
    `${appHost} does not answer like PostHog (${why})`,
    'If POSTHOG_HOST is a proxy, set POSTHOG_APP_HOST to where you use PostHog in a browser, such as https://us.posthog.com.',
  )
}
