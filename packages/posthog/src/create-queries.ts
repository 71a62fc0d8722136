import {
  Count,
  type FoundEvents,
  type FoundPeople,
  type IdsOfEvent,
  OperatorError,
  type RunId,
  type TimeRange,
} from '@heapferry/domain'
import pMap from 'p-map'
import { z } from 'zod'
import { findProject, type Project } from './find-project.ts'
import { countQuery, eventsOfPeopleQuery, idsQuery, maxRows, peopleQuery, personsQuery } from './hogql.ts'
import {
  type ApiOptions,
  type ApiRefused,
  keyRefused,
  notPostHog,
  PostHogApi,
  scopeRefused,
  whereKeysAreMade,
} from './posthog-api.ts'

/** Asks PostHog what it holds. Every method throws an OperatorError where only a person can help. */
export interface Queries {
  /**
   * The project that has a key, and whether its key was seen: a key that may not read projects is taken at its word.
   * @param wanted the project's id, where the user says it
   */
  findProject(wanted: string | undefined, isItsKey: (apiToken: string) => boolean): Promise<Project>
  /** A day whose events had to be counted in parts is answered in parts. Ranges begin and end with a day (UTC). */
  countEvents(project: string, run: RunId, ranges: readonly TimeRange[]): Promise<FoundEvents[]>
  /**
   * The different people under each event, in ranges of whole days (UTC). A range that takes too long is answered as
   * several: people of two ranges do not add up.
   */
  countPeople(project: string, run: RunId, ranges: readonly TimeRange[]): Promise<FoundPeople[]>
  /** The ids of an event in the order of their text, those behind `after`; null where that takes too long. */
  idsOfEvent(
    project: string,
    run: RunId,
    of: { event: string; range: TimeRange; after: string },
  ): Promise<IdsOfEvent | null>
  /** How many events of a run each of some people has, by PostHog's id; those without any are left out. */
  countEventsOfPeople(
    project: string,
    run: RunId,
    of: { personIds: readonly string[]; ranges: readonly TimeRange[] },
  ): Promise<Map<string, number>>
  /** By distinct_id; those that PostHog does not know are left out. */
  personIds(project: string, distinctIds: readonly string[]): Promise<Map<string, string>>
  /** Breaks off what is in flight. */
  close(): Promise<void>
}

// PostHog runs three queries of a team at a time and ten seconds of each; more wait in line or are refused.
const queriesAtOnce = 3
const idsPerQuery = 500
// Fewer than an answer holds, so that one that is full is not taken for one that was cut off.
const idsPerPage = 20_000
const dayMs = 86_400_000
const shortestRangeMs = 60_000

export function createQueries(options: ApiOptions): Queries {
  const api = new PostHogApi(options)
  return {
    findProject: (wanted, isItsKey) => findProject(api, wanted, isItsKey),

    async countEvents(project, run, ranges) {
      const found = await pMap(ranges, (range) => countRange({ api, project, run }, range), {
        concurrency: queriesAtOnce,
      })
      return found.flat()
    },

    async countPeople(project, run, ranges) {
      const found = await pMap(ranges, (range) => countPeopleIn({ api, project, run }, range), {
        concurrency: queriesAtOnce,
      })
      return found.flat()
    },

    async idsOfEvent(project, run, of) {
      const query = idsQuery(run, { ...of, limit: idsPerPage })
      const rows = await answerOf({ api, project }, query, PersonRow)
      if (rows === 'too_much') return null
      const ids = rows.results.map(([distinctId, personId]) => ({ distinctId, personId }))
      return { ids, after: ids.length < idsPerPage ? null : (ids.at(-1)?.distinctId ?? null) }
    },

    async countEventsOfPeople(project, run, { personIds, ranges }) {
      const found = await pMap(ranges, (range) => countEventsIn({ api, project, run, personIds }, range), {
        concurrency: queriesAtOnce,
      })
      const counts = new Map<string, number>()
      for (const [person, events] of found.flat()) counts.set(person, (counts.get(person) ?? 0) + events)
      return counts
    },

    async personIds(project, distinctIds) {
      const parts = Array.from({ length: Math.ceil(distinctIds.length / idsPerQuery) }, (_, nth) =>
        distinctIds.slice(nth * idsPerQuery, (nth + 1) * idsPerQuery),
      )
      const found = await pMap(parts, (ids) => personsOf({ api, project }, ids), { concurrency: queriesAtOnce })
      return new Map(found.flat())
    },

    close: () => api.close(),
  }
}

interface Asked {
  api: PostHogApi
  project: string
}

async function countRange(asked: Asked & { run: RunId }, range: TimeRange): Promise<FoundEvents[]> {
  const rows = await rowsOf(asked, countQuery(asked.run, range), CountRow)
  if (rows !== 'too_much') {
    return rows.map(([day, event, stored, different, uuids]) => ({ event, day, rows: stored, different, uuids }))
  }
  const halves = halvesOf(range)
  if (!halves) throw tooSlow(range)
  return [...(await countRange(asked, halves[0])), ...(await countRange(asked, halves[1]))]
}

async function countPeopleIn(asked: Asked & { run: RunId }, range: TimeRange): Promise<FoundPeople[]> {
  const rows = await rowsOf(asked, peopleQuery(asked.run, range), PeopleRow)
  if (rows !== 'too_much') return [{ range, people: new Map(rows) }]
  const halves = range.toMs - range.fromMs < 2 * dayMs ? null : halvesOf(range)
  if (!halves) throw tooManyPeople(range)
  return [...(await countPeopleIn(asked, halves[0])), ...(await countPeopleIn(asked, halves[1]))]
}

async function countEventsIn(
  asked: Asked & { run: RunId; personIds: readonly string[] },
  range: TimeRange,
): Promise<[string, number][]> {
  const rows = await rowsOf(asked, eventsOfPeopleQuery(asked.run, asked.personIds, range), PeopleRow)
  if (rows !== 'too_much') return rows
  const halves = halvesOf(range)
  if (!halves) throw tooSlow(range)
  return [...(await countEventsIn(asked, halves[0])), ...(await countEventsIn(asked, halves[1]))]
}

async function personsOf(asked: Asked, ids: readonly string[]): Promise<[string, string][]> {
  const rows = await rowsOf(asked, personsQuery(ids), PersonRow)
  if (rows !== 'too_much') return rows
  if (ids.length < 2) throw notPostHog(asked.api.appHost, 'it takes too long to find one person')
  const middle = Math.ceil(ids.length / 2)
  return [...(await personsOf(asked, ids.slice(0, middle))), ...(await personsOf(asked, ids.slice(middle)))]
}

/** All rows that a query has. */
async function rowsOf<T extends z.ZodType>(asked: Asked, query: string, row: T): Promise<z.infer<T>[] | 'too_much'> {
  const answer = await answerOf(asked, query, row)
  if (answer === 'too_much') return answer
  const { results, hasMore } = answer
  return results.length >= maxRows || hasMore === true ? 'too_much' : results
}

async function answerOf<T extends z.ZodType>({ api, project }: Asked, query: string, row: T) {
  const answer = await api.query(project, query, z.object({ ...QueryAnswer.shape, results: z.array(row) }))
  if (answer.kind === 'too_much') return answer.kind
  if (answer.kind === 'refused') throw queryRefused(answer, project)
  return answer.value
}

const QueryAnswer = z.object({
  hasMore: z.boolean().nullish(),
  is_cached: z.literal(false, 'it is what PostHog found some time ago').nullish(),
  error: z.null('the query failed').optional(),
})
const CountRow = z.tuple([z.int(), z.string(), Count, Count, Count])
const PeopleRow = z.tuple([z.string(), Count])
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

function queryRefused({ status, detail }: ApiRefused, project: string): OperatorError {
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

function tooSlow({ fromMs }: TimeRange): OperatorError {
  return new OperatorError(
    `PostHog takes too long to count even the minute ${new Date(fromMs).toISOString().slice(0, 16)}`,
    'Try again at a quieter time.',
  )
}

function tooManyPeople({ fromMs }: TimeRange): OperatorError {
  return new OperatorError(
    `PostHog takes too long to count the people of even the day ${new Date(fromMs).toISOString().slice(0, 10)}`,
    'Try again at a quieter time, or leave people out: --no-people.',
  )
}
