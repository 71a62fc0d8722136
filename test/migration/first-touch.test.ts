import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { defaultMapping, type ExportFile, type IdentitiesRecord, Mapping, type PostHogEvent } from '@heapferry/domain'
import { createPersons } from '@heapferry/fake-posthog'
import {
  conversionOf,
  convertersOf,
  loadIdentities,
  madeFiles,
  saveFirstTouch,
  saveIdentities,
} from '@heapferry/migration'
import { openPlace, openWorkStore, sourceAt } from '@heapferry/sources'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runOf } from '../support/chunk.ts'
import { tries } from '../support/tries.ts'
import { exportOf, type TestTable, userMigrations } from './identities-of.ts'

const s3 = { pathStyle: false, requesterPays: false }
let folder = ''
let runs = 0
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'first-touch-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** What a run would send of these tables: of people, of what was first of them, and of what they did. */
async function sentOf(tables: readonly TestTable[], mapping: Mapping = defaultMapping, peopleAtOnce = 1000) {
  const run = runOf(`run${runs++}`, { mapping, createdAtMs: Date.UTC(2024, 0, 1) })
  const { files, read } = exportOf(tables)
  const store = await openWorkStore(folder, s3)
  let record: IdentitiesRecord | null = null
  const ledger = {
    files: async () => files,
    identities: async () => record,
    async setIdentities(_: unknown, identities: IdentitiesRecord) {
      record = identities
    },
  }
  const rows = { read, hashSalt: null }
  const kept = { ledger, store }
  await saveIdentities(run, files, rows, kept)
  const identities = () => loadIdentities(run, kept)
  const { signal } = new AbortController()
  const made = await saveFirstTouch(run, files, rows, { store, identities, peopleAtOnce, signal })
  if (made === null) throw new Error('nobody has stopped it')
  expect(await madeFiles(run, store)).toEqual(made.files)

  const converterFor = convertersOf(run, await identities(), null)
  const source = sourceAt(await openPlace(folder, s3), await openPlace(folder, s3))
  const eventsOf = async (file: ExportFile): Promise<PostHogEvent[]> => {
    const events: PostHogEvent[] = []
    for await (const slice of file.in === undefined ? read(file) : source.readAll(file)) {
      for (const row of slice.rows) {
        const conversion = conversionOf(row, file.table, converterFor)
        if (conversion.kind === 'reject' && file.in !== undefined) throw new Error(conversion.detail)
        if (conversion.kind === 'event') events.push(conversion.event)
      }
    }
    return events
  }
  const people: PostHogEvent[] = []
  const events: PostHogEvent[] = []
  for (const file of files) {
    const into = ['users', 'user_migrations'].includes(file.table.kind) ? people : events
    into.push(...(await eventsOf(file)))
  }
  const first = (await Promise.all(made.files.map(eventsOf))).flat()
  return { people, first, events, notices: made.notices }
}

interface Visit {
  id: string
  second: number
  page: string
  utm: string | null
  country: string | null
}
interface User {
  id: string
  identity: string | null
  utm: string | null
  country: string | null
}
interface World {
  migrations: readonly (readonly [string, string])[]
  users: readonly User[]
  sessions: readonly Visit[]
  views: readonly Visit[]
}

const ids = ['1', '2', '3', '4', '5', '9007199254740993']
const id = fc.constantFrom(...ids)
const country = fc.constantFrom('Germany', 'France', null)
const visits = fc.array(
  fc.record({
    id,
    // So few that some are of one moment.
    second: fc.integer({ min: 0, max: 20 }),
    page: fc.constantFrom('a.example/', 'b.example/x', 'c.example/y'),
    utm: fc.constantFrom('news', 'ads', null),
    country,
  }),
  { maxLength: 14 },
)
const world: fc.Arbitrary<World> = fc.record({
  migrations: fc.array(fc.tuple(id, id), { maxLength: 3 }),
  users: fc.array(
    fc.record({ id, identity: fc.constantFrom('ada', 'bob', null), utm: fc.constantFrom('theirs', null), country }),
    { maxLength: 4 },
  ),
  sessions: visits,
  views: visits,
})
const order = fc.array(fc.nat(), { minLength: 60, maxLength: 60 })

/** But for the name of the run. */
function anyRun(event: PostHogEvent): string {
  return JSON.stringify(event).replace(/"\$import_job_id":"[^"]*"/, '')
}

function object(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {}
}

function timeOf(second: number): string {
  return `2023-05-01 10:00:${String(second).padStart(2, '0')}`
}

function usersTable(users: readonly User[]): TestTable {
  return {
    table: { kind: 'users', name: 'users' },
    columns: ['user_id', 'identity', 'joindate', 'last_modified', 'initial_utm_source', 'country'],
    // Of rows of one moment the later in the files is the newer, and the order would make a difference.
    rows: users.map((user, index) => {
      return [user.id, user.identity, '2023-05-01 09:00:00', `2023-05-02 09:00:0${index}`, user.utm, user.country]
    }),
  }
}

function sessionsTable(sessions: readonly Visit[]): TestTable {
  return {
    table: { kind: 'sessions', name: 'sessions' },
    columns: ['user_id', 'session_id', 'time', 'library', 'landing_page', 'utm_source', 'country'],
    rows: sessions.map((one) => [one.id, '7', timeOf(one.second), 'web', one.page, one.utm, one.country]),
  }
}

function viewsTable(views: readonly Visit[]): TestTable {
  return {
    table: { kind: 'pageviews', name: 'pageviews' },
    columns: ['event_id', 'user_id', 'time', 'domain', 'path', 'utm_source', 'country'],
    rows: views.map((one, index) => [
      `${index + 1}`,
      one.id,
      timeOf(one.second),
      'v.example',
      '/',
      one.utm,
      one.country,
    ]),
  }
}

function shuffled<T>(all: readonly T[], keys: readonly number[]): T[] {
  return all
    .map((one, index) => ({ one, key: keys[index % keys.length] ?? 0 }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ one }) => one)
}

test('everybody has the $initial_ properties of their first session and the place of their last, in any order of rows, files and delivery, and however few people there is memory for', async () => {
  await fc.assert(
    fc.asyncProperty(world, order, fc.integer({ min: 2, max: 4 }), async (given, keys, peopleAtOnce) => {
      const tables = [
        userMigrations(given.migrations.map(([from, to]) => [from, to])),
        usersTable(given.users),
        sessionsTable(given.sessions.slice(5)),
        sessionsTable(given.sessions.slice(0, 5)),
        viewsTable(given.views),
      ]
      const { people, first, events } = await sentOf(tables)
      const turned = tables.map((table) => ({ ...table, rows: shuffled(table.rows, keys) }))
      const again = await sentOf(shuffled(turned, keys).toReversed(), defaultMapping, peopleAtOnce)
      expect(again.first.map(anyRun).toSorted()).toEqual(first.map(anyRun).toSorted())

      const persons = createPersons('events')
      for (const event of shuffled([...people, ...first], keys)) persons.add(event)
      for (const event of shuffled(events, keys)) persons.add(event)
      for (const person of new Set(ids.map((one) => persons.personOf(one)).filter((one) => one !== undefined))) {
        const isTheirs = (one: { id: string }): boolean => persons.personOf(one.id) === person
        const sessions = given.sessions.filter(isTheirs)
        if (sessions.length === 0) continue
        const properties = person.properties ?? {}
        const firstOnes = sessions.filter(({ second }) => second === Math.min(...sessions.map((one) => one.second)))
        const said = people.flatMap(({ distinct_id, properties: { $set, $set_once } }) =>
          persons.personOf(distinct_id) === person ? Object.entries({ ...object($set), ...object($set_once) }) : [],
        )
        const explicit = said.filter(([name]) => name === '$initial_utm_source')
        const match = firstOnes.filter(
          (one) =>
            `https://${one.page}` === properties['$initial_current_url'] &&
            (explicit.length > 0 || one.utm === properties['$initial_utm_source']) &&
            one.country === (properties['$initial_geoip_country_name'] ?? null),
        )
        expect(match).not.toEqual([])
        if (explicit.length > 0) expect(properties['$initial_utm_source']).toBe('theirs')
        const countries = said.flatMap(([name, value]) => (name === '$geoip_country_name' ? [value] : []))
        const placed = sessions.filter((one) => one.country !== null)
        const last = placed.filter(({ second }) => second === Math.max(...placed.map((one) => one.second)))
        const places = countries.length > 0 ? countries : last.map((one) => one.country)
        if (places.length > 0) expect(places).toContain(properties['$geoip_country_name'])
      }
    }),
    { numRuns: tries(100) },
  )
}, 60_000)

const visit: Visit = { id: '1', second: 1, page: 'a.example/start?gclid=g1', utm: 'news', country: 'Germany' }
const ofAda = usersTable([{ id: '1', identity: 'ada', utm: null, country: null }])

test('of a session the landing page is the page, and what its row says nothing of was not there at first', async () => {
  const { first, notices } = await sentOf([ofAda, sessionsTable([{ ...visit, utm: null }])])
  expect(first).toMatchObject([
    {
      event: '$set',
      distinct_id: 'ada',
      timestamp: '2023-05-01T10:00:01.000Z',
      properties: {
        $set: { $geoip_country_name: 'Germany', $geoip_country_code: 'DE' },
        $set_once: {
          $initial_current_url: 'https://a.example/start?gclid=g1',
          $initial_host: 'a.example',
          $initial_pathname: '/start',
          $initial_gclid: 'g1',
          $initial_utm_source: null,
          $initial_geoip_country_name: 'Germany',
          $initial_geoip_country_code: 'DE',
        },
      },
    },
  ])
  expect(notices).toEqual([expect.stringContaining('1 person get')])
})

test('pages tell it where there are no sessions, and events where there are no pages', async () => {
  const events: TestTable = {
    table: { kind: 'event', name: 'signup' },
    columns: ['user_id', 'time', 'referrer', 'library'],
    rows: [['1', timeOf(0), 'https://r.example/', 'web']],
  }
  const byPages = await sentOf([events, viewsTable([visit])])
  expect(onceOf(byPages.first)).toMatchObject({
    $initial_current_url: 'https://v.example/',
    $initial_utm_source: 'news',
  })
  const byEvents = await sentOf([events])
  expect(onceOf(byEvents.first)).toEqual({
    $initial_referrer: 'https://r.example/',
    $initial_referring_domain: 'r.example',
  })
})

test('a place that rows of users tell is the whole place of the person', async () => {
  const placed = usersTable([{ id: '1', identity: 'ada', utm: null, country: 'France' }])
  const { first } = await sentOf([placed, sessionsTable([visit])])
  expect(first[0]?.properties['$set']).toBeUndefined()
  expect(onceOf(first)).toMatchObject({ $initial_geoip_country_name: 'Germany' })
})

test('rows that become no events are the first of nobody', async () => {
  const rows = [
    { ...visit, second: 2 },
    { ...visit, page: 'b.example/' },
  ]
  const filtered = Mapping.parse({ filter: { from: '2023-05-01T10:00:02Z' } })
  const { first } = await sentOf([sessionsTable(rows)], filtered)
  expect(onceOf(first)).toMatchObject({ $initial_host: 'a.example' })
  const damaged = sessionsTable([visit])
  const { first: none } = await sentOf([
    { ...damaged, rows: [['1', '7', 'yesterday', 'web', 'a.example', null, null]] },
  ])
  expect(none).toEqual([])
})

test('rows that the copying tool has marked as deleted are the first of nobody, and their table of those that are left', async () => {
  const signups: TestTable = {
    table: { kind: 'event', name: 'signup' },
    columns: ['user_id', 'time', 'referrer', 'library', '_fivetran_deleted'],
    rows: [
      ['1', timeOf(0), 'https://deleted.example/', 'web', 'true'],
      ['1', timeOf(1), 'https://r.example/', 'web', 'false'],
    ],
  }
  expect(onceOf((await sentOf([signups])).first)).toMatchObject({ $initial_referring_domain: 'r.example' })
  const tooLong = Mapping.parse({ tables: { signup: { event: 'x'.repeat(201) } } })
  expect((await sentOf([signups], tooLong)).first).toEqual([])
})

test('what the mapping drops, hashes or names otherwise does not come back as the first', async () => {
  const dropped = Mapping.parse({
    properties: { landing_page: 'drop', country: 'drop', utm_source: { name: 'origin' } },
  })
  const { first } = await sentOf([sessionsTable([visit])], dropped)
  expect(JSON.stringify(first)).not.toMatch(/a\.example|Germany|news|g1/)
})

test('first_touch: skip sends nothing of it, and neither does a mapping that says nothing of people', async () => {
  const tables = [ofAda, sessionsTable([visit])]
  expect((await sentOf(tables, Mapping.parse({ first_touch: 'skip' }))).first).toEqual([])
  expect((await sentOf(tables, Mapping.parse({ persons: 'skip' }))).first).toEqual([])
})

test('under persons: set_once no place of people overwrites what a project holds', async () => {
  const { first } = await sentOf([sessionsTable([visit])], Mapping.parse({ persons: 'set_once' }))
  expect(first[0]?.properties['$set']).toBeUndefined()
  expect(onceOf(first)).toMatchObject({ $geoip_country_name: 'Germany', $initial_geoip_country_name: 'Germany' })
})

test('nobody becomes a person for it whom the mapping makes none of', async () => {
  const sessions = sessionsTable([visit, { ...visit, id: '2' }])
  const { first } = await sentOf([ofAda, sessions], Mapping.parse({ anonymous: 'personless' }))
  expect(first.map(({ distinct_id }) => distinct_id)).toEqual(['ada'])
})

test('an event of Heap that is called first_touch is told apart', async () => {
  const event: TestTable = { table: { kind: 'event', name: 'first_touch' }, columns: ['user_id', 'time'], rows: [] }
  const { first } = await sentOf([event, sessionsTable([visit])])
  expect(first).toHaveLength(1)
})

function onceOf([event]: readonly PostHogEvent[]): unknown {
  return event?.properties['$set_once']
}

test('an address in a column of its own goes before one that an identity is, whichever row of a person is newer', async () => {
  const old = ['1', 'ada@example.com', '2023-01-01', '2023-01-01']
  const young = ['2', 'ada@example.com', '2023-01-02', '2023-01-02']
  expect(
    await emailOf([
      [...old, null],
      [...young, null],
    ]),
  ).toBe('ada@example.com')
  expect(
    await emailOf([
      [...old, 'ada@home.example'],
      [...young, null],
    ]),
  ).toBe('ada@home.example')
  expect(
    await emailOf([
      [...old, null],
      [...young, 'ada@home.example'],
    ]),
  ).toBe('ada@home.example')
})

/** Of Ada, whichever of her rows arrives first. */
async function emailOf(rows: (string | null)[][]): Promise<unknown> {
  const table = { kind: 'users', name: 'users' } as const
  const columns = ['user_id', 'identity', 'joindate', 'last_modified', 'email']
  const { people } = await sentOf([{ table, columns, rows }])
  const found = [people, people.toReversed()].map((events) => {
    const persons = createPersons('events')
    for (const event of events) persons.add(event)
    return persons.personOf('ada@example.com')?.properties?.['email']
  })
  expect(found[1]).toBe(found[0])
  return found[0]
}
