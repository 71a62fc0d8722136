import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { OperatorError, RunId, type TimeRange } from '@heapferry/domain'
import { type FakePostHog, type QueryApiOptions, startFakePostHog } from '@heapferry/fake-posthog'
import { type ApiOptions, createQueries } from '@heapferry/posthog'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { tries } from '../support/tries.ts'

const apiKey = 'phc_queries000000000000000000000000000000000000'
const personalKey = 'phx_personal0000000000000000000000000000000000'
const run = RunId.parse('mine')
const day = Date.UTC(2023, 0, 2)
const dayMs = 86_400_000
const january: TimeRange = { fromMs: Date.UTC(2023, 0, 1), toMs: Date.UTC(2023, 1, 1) }
const firstDay = january.fromMs / dayMs

test('events are counted by name and UTC day; those of other runs and other times are not', async () => {
  const { posthog, queries } = await opened()
  await send(posthog, [
    event({ at: day }),
    event({ at: day + dayMs - 1 }),
    event({ at: day, event: 'Bought "it"' }),
    event({ at: day + dayMs }),
    event({ at: day, run: 'another' }),
    event({ at: january.toMs }),
    event({ at: january.fromMs - 1 }),
  ])
  expect(await queries.countEvents('2', run, [january])).toEqual([
    { event: 'Bought "it"', day: firstDay + 1, rows: 1, different: 1, uuids: 1 },
    { event: 'Clicked', day: firstDay + 1, rows: 2, different: 2, uuids: 2 },
    { event: 'Clicked', day: firstDay + 2, rows: 1, different: 1, uuids: 1 },
  ])
})

test('copies that PostHog has not merged yet are told from different events of one uuid', async () => {
  const { posthog, queries } = await opened({ unmerged: true })
  const twice = event({ at: day })
  const elsewhere = { ...event({ at: day }), distinct_id: 'somebody else' }
  await send(posthog, [twice, twice, elsewhere, { ...elsewhere, distinct_id: 'another' }])
  expect(await queries.countEvents('2', run, [january])).toMatchObject([{ rows: 4, different: 3, uuids: 2 }])
})

test('what takes too long is asked in parts, down to hours of a day', async () => {
  const { posthog, queries } = await opened({ maxEvents: 40 })
  await send(posthog, [
    ...Array.from({ length: 90 }, (_, nth) => event({ at: day + nth * 60_000 })),
    ...Array.from({ length: 30 }, (_, nth) => event({ at: january.fromMs + nth * dayMs })),
  ])
  expect(sumOf(await queries.countEvents('2', run, [january]))).toEqual({ rows: 120, different: 120, uuids: 120 })
  expect(statuses(posthog)).toContain(504)
})

test('what has more rows than an answer holds is asked in parts', async () => {
  const appHost = await served((body, answer) => {
    const [, from = '', to = ''] = /toDateTime\('([^']+)'\) AND timestamp < toDateTime\('([^']+)'\)/.exec(body) ?? []
    const days = (Date.parse(to) - Date.parse(from)) / dayMs
    const row = [Date.parse(from) / dayMs, 'Clicked', days, days, days]
    answer(200, { results: days > 8 ? Array.from({ length: 50_000 }, () => row) : [row] })
  })
  expect(sumOf(await opener({ appHost }).countEvents('2', run, [january])).different).toBe(31)
})

test('a minute that takes too long ends with what to do', async () => {
  const { posthog, queries } = await opened({ maxEvents: 1 })
  await send(posthog, [event({ at: day }), event({ at: day + 1 })])
  await expect(queries.countEvents('2', run, [january])).rejects.toThrow('to count even the minute 2023-01-02T00:00')
})

test('people are counted under each event; in parts, which are told, where a month takes too long', async () => {
  const { posthog, queries } = await opened()
  await send(posthog, [
    event({ at: day }),
    { ...event({ at: day }), distinct_id: 'another' },
    { ...event({ at: day + 20 * dayMs }), distinct_id: 'another' },
    event({ at: day, run: 'another' }),
  ])
  expect(await queries.countPeople('2', run, [january])).toEqual([
    { range: january, people: new Map([['Clicked', 2]]) },
  ])
  posthog.queries?.change({ maxEvents: 3 })
  const middle = january.fromMs + 15 * dayMs
  expect(await queries.countPeople('2', run, [january])).toEqual([
    { range: { fromMs: january.fromMs, toMs: middle }, people: new Map([['Clicked', 2]]) },
    { range: { fromMs: middle, toMs: january.toMs }, people: new Map([['Clicked', 1]]) },
  ])
  posthog.queries?.change({ maxEvents: 2 })
  const fault = await faultOf(queries.countPeople('2', run, [january]))
  expect([fault.message, fault.hint]).toEqual([
    'PostHog takes too long to count the people of even the day 2023-01-02',
    expect.stringContaining('--no-people'),
  ])
})

test('ids of an event come page by page, each once, whatever stands in them', async () => {
  const { posthog, queries } = await opened()
  const named = ["O'Hara\\", 'ada', 'Zoë', ...Array.from({ length: 20_010 }, (_, nth) => String(nth))]
  const other = { ...event({ at: day, event: 'Bought "it"' }), distinct_id: 'not asked for' }
  for (let at = 0; at < named.length; at += 1000)
    await send(
      posthog,
      named.slice(at, at + 1000).map((distinct_id) => ({ ...event({ at: day }), distinct_id })),
    )
  await send(posthog, [other])
  const found: string[] = []
  for (let after: string | null = ''; after !== null; ) {
    const page = await queries.idsOfEvent('2', run, { event: 'Clicked', range: january, after })
    found.push(...(page?.ids.map(({ distinctId }) => distinctId) ?? []))
    after = page?.after ?? null
  }
  expect(found.toSorted()).toEqual(named.toSorted())
  expect(statuses(posthog)).toHaveLength(2)
})

test('events of people are added up over ranges, and over the parts of one that takes too long', async () => {
  const { posthog, queries } = await opened({ maxEvents: 2 })
  const ofAda = [day, day + dayMs, january.toMs].map((at) => ({ ...event({ at }), distinct_id: 'ada' }))
  await send(posthog, [...ofAda, event({ at: day })])
  const ada = (await queries.personIds('2', ['ada'])).get('ada') ?? ''
  const february = { fromMs: january.toMs, toMs: january.toMs + 28 * dayMs }
  const of = { personIds: [ada, 'nobody'], ranges: [january, february] }
  expect(await queries.countEventsOfPeople('2', run, of)).toEqual(new Map([[ada, 3]]))
  expect(statuses(posthog)).toContain(504)
})

test('never more than three queries are under way', async () => {
  const { posthog, queries } = await opened()
  posthog.queries?.fault({ kind: 'latency', ms: 20 })
  const days = Array.from({ length: 31 }, (_, nth) => ({
    fromMs: january.fromMs + nth * dayMs,
    toMs: january.fromMs + (nth + 1) * dayMs,
  }))
  await queries.countEvents('2', run, days)
  expect(posthog.queries?.mostAtOnce).toBe(3)
  expect(statuses(posthog)).toEqual(Array(31).fill(200))
})

test('no more requests begin than PostHog takes in a minute, and waiting ends with the signal', async () => {
  const stop = new AbortController()
  const { posthog, queries } = await opened({}, { limits: { perMinute: 4, perHour: 100 }, signal: stop.signal })
  const days = Array.from({ length: 6 }, () => january)
  const counting = queries.countEvents('2', run, days)
  await expect.poll(() => statuses(posthog).length).toBe(4)
  const early = await Promise.race([counting, new Promise((resolve) => setTimeout(() => resolve('waiting'), 300))])
  expect([early, statuses(posthog).length]).toEqual(['waiting', 4])
  stop.abort()
  await expect(counting).rejects.toThrow('aborted')
})

test('429 is obeyed for as long as it says', async () => {
  const waits: [string, number][] = []
  const { posthog, queries } = await opened({}, { onWaiting: (detail, forMs) => waits.push([detail, forMs]) })
  posthog.queries?.fault({ kind: 'status', status: 429, retryAfterS: 1, next: 1 })
  const startedAtMs = performance.now()
  await queries.countEvents('2', run, [january])
  expect(performance.now() - startedAtMs).toBeGreaterThan(990)
  expect(waits).toEqual([['PostHog answers 429', 1000]])
})

test('errors that pass are asked again, and an outage that lasts ends with what to do', async () => {
  const { posthog, queries } = await opened()
  await send(posthog, [event({ at: day })])
  posthog.queries?.fault({ kind: 'status', status: 500, next: 2 })
  posthog.queries?.fault({ kind: 'reset', next: 1 })
  expect(await queries.countEvents('2', run, [january])).toHaveLength(1)
  posthog.queries?.fault({ kind: 'status', status: 503 })
  const fault = await faultOf(queries.countEvents('2', run, [january]))
  expect([fault.message, fault.hint]).toEqual([
    expect.stringContaining('PostHog cannot be asked at http://127.0.0.1'),
    expect.stringContaining('POSTHOG_APP_HOST'),
  ])
})

test('an answer is never one that PostHog found some time ago', async () => {
  const { posthog, queries } = await opened()
  await send(posthog, [event({ at: day })])
  expect(await queries.countEvents('2', run, [january])).toMatchObject([{ different: 1 }])
  await send(posthog, [event({ at: day })])
  expect(await queries.countEvents('2', run, [january])).toMatchObject([{ different: 2 }])
  const cached = await served((_, answer) => answer(200, { results: [], is_cached: true }))
  await expect(opener({ appHost: cached }).countEvents('2', run, [january])).rejects.toThrow('found some time ago')
})

test('the project of a run is found by its key, wherever it stands in the list', async () => {
  const { queries } = await opened()
  expect(await queries.findProject(undefined, isIts)).toEqual({ id: '2', confirmed: true })
  expect(await queries.findProject('2', isIts)).toEqual({ id: '2', confirmed: true })
})

test('a key for one project finds it, although it may list none', async () => {
  const { queries } = await opened({ ofOneProject: true })
  expect(await queries.findProject(undefined, isIts)).toEqual({ id: '2', confirmed: true })
  await expect(queries.findProject(undefined, () => false)).rejects.toThrow('is the one that the run was sent to')
})

test('a key that may only query is enough for a project that the user names', async () => {
  const { posthog, queries } = await opened({ scopes: ['query:read'] })
  expect(await queries.findProject('2', isIts)).toEqual({ id: '2', confirmed: false })
  await send(posthog, [event({ at: day })])
  expect(await queries.countEvents('2', run, [january])).toHaveLength(1)
  const fault = await faultOf(queries.findProject(undefined, isIts))
  expect([fault.message, fault.hint]).toEqual([
    expect.stringContaining("scope 'project:read'"),
    expect.stringContaining('POSTHOG_PROJECT_ID'),
  ])
})

test('another project than the one of the run is refused', async () => {
  const { queries } = await opened()
  await expect(queries.findProject('1', isIts)).rejects.toThrow('The project 1 is not the one that the run was sent to')
  await expect(queries.findProject('77', isIts)).rejects.toThrow('cannot see the project 77')
  await expect(queries.countEvents('77', run, [january])).rejects.toThrow('no project 77')
  await expect(queries.findProject(undefined, () => false)).rejects.toThrow('None of the 2 projects')
})

test.each([
  ['is not known', {}, 'phx_wrong', 'does not know the personal key', 'query:read and project:read'],
  ['may not query', { scopes: ['project:read' as const] }, personalKey, "scope 'query:read'", 'query:read'],
])('a key that %s is refused with what to do, and is never shown', async (_, options, key, message, hint) => {
  const { queries } = await opened(options, { personalKey: key })
  const fault = await faultOf(queries.countEvents('2', run, [january]))
  expect([fault.message, fault.hint]).toEqual([expect.stringContaining(message), expect.stringContaining(hint)])
  expect(`${fault.message} ${fault.hint} ${fault.stack}`).not.toContain(key)
})

test('a host that is a proxy, or no PostHog, is told from PostHog', async () => {
  const page = await served((_, answer) => answer(200, '<html>Welcome</html>'))
  const queries = opener({ appHost: page })
  for (const ask of [() => queries.countEvents('2', run, [january]), () => queries.findProject(undefined, isIts)]) {
    const fault = await faultOf(ask())
    expect([fault.message, fault.hint]).toEqual([
      expect.stringContaining('does not answer like PostHog'),
      expect.stringContaining('POSTHOG_APP_HOST'),
    ])
  }
  const missing = await served((_, answer) => answer(404, 'Not found'))
  expect((await faultOf(opener({ appHost: missing }).findProject(undefined, isIts))).hint).toContain('POSTHOG_APP_HOST')
})

test('an answer that echoes the key is shown without it', async () => {
  const echo = await served((_, answer) => answer(400, { detail: `bad key ${personalKey}` }))
  const fault = await faultOf(opener({ appHost: echo }).countEvents('2', run, [january]))
  expect(fault.message).toContain('bad key [personal key]')
})

test('people are found by ids with whatever signs in them', async () => {
  const { posthog, queries } = await opened()
  const strange = ["O'Neil\\", "'; --", '\\', 'a\nb\tc', 'ünï', '{id}', '%s', "\\'"]
  await send(
    posthog,
    strange.map((distinct_id) => ({ ...event({ at: day }), distinct_id })),
  )
  expect([...(await queries.personIds('2', [...strange, 'nobody'])).keys()].toSorted()).toEqual(strange.toSorted())
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }), async (id) => {
      if (id.trim() === '' || id.includes('\0')) return
      await send(posthog, [{ ...event({ at: day }), distinct_id: id }])
      expect((await queries.personIds('2', [id])).has(id)).toBe(true)
    }),
    { numRuns: tries(100) },
  )
})

test('more people than fit into a query are asked for in several', async () => {
  const { posthog, queries } = await opened()
  const ids = Array.from({ length: 1200 }, (_, nth) => `person ${nth}`)
  await send(
    posthog,
    ids.map((distinct_id) => ({ ...event({ at: day }), distinct_id })),
  )
  const found = await queries.personIds('2', ids)
  expect([found.size, new Set(found.values()).size]).toEqual([1200, 1200])
  expect(statuses(posthog)).toEqual([200, 200, 200])
})

const isIts = (token: string): boolean => token === apiKey

async function opened(options: Partial<QueryApiOptions> = {}, client: Partial<ApiOptions> = {}) {
  const posthog = await startFakePostHog({ apiKey, keep: 'events', queries: { personalKey, ...options } })
  onTestFinished(() => posthog.stop())
  return { posthog, queries: opener({ appHost: posthog.url, ...client }) }
}

function opener(options: Partial<ApiOptions> & { appHost: string }) {
  const signal = new AbortController().signal
  const queries = createQueries({ personalKey, signal, firstWaitMs: 2, ...options })
  onTestFinished(() => queries.close())
  return queries
}

/** A host that answers every request the same way. */
async function served(
  respond: (body: string, answer: (status: number, body: unknown) => void) => void,
): Promise<string> {
  const server = createServer((request, response) => {
    void text(request).then((body) =>
      respond(body, (status, answer) =>
        response.writeHead(status).end(typeof answer === 'string' ? answer : JSON.stringify(answer)),
      ),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port')
  return `http://127.0.0.1:${address.port}`
}

let events = 0

function event({ at, event: name = 'Clicked', run: of = 'mine' }: { at: number; event?: string; run?: string }) {
  events++
  return {
    uuid: `018a0000-0000-7000-8000-${String(events).padStart(12, '0')}`,
    event: name,
    distinct_id: String(events),
    timestamp: new Date(at).toISOString(),
    properties: { $import_job_id: of },
  }
}

async function send(posthog: FakePostHog, batch: object[]): Promise<void> {
  const answer = await fetch(`${posthog.url}/batch/`, {
    method: 'POST',
    body: JSON.stringify({ api_key: apiKey, batch }),
  })
  expect(answer.status).toBe(200)
}

function statuses(posthog: FakePostHog): number[] {
  return (posthog.queries?.asked ?? []).map(({ status }) => status)
}

function sumOf(found: readonly { rows: number; different: number; uuids: number }[]) {
  const sum = { rows: 0, different: 0, uuids: 0 }
  for (const { rows, different, uuids } of found) {
    sum.rows += rows
    sum.different += different
    sum.uuids += uuids
  }
  return sum
}

async function faultOf(asking: Promise<unknown>): Promise<OperatorError> {
  try {
    await asking
  } catch (error) {
    if (error instanceof OperatorError) return error
    throw error
  }
  throw new Error('it was answered')
}
