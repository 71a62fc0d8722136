import {
  defaultMapping,
  emptyTally,
  type ExportFile,
  type Mapping,
  noPace,
  OperatorError,
  phaseOf,
  type PostHogEvent,
  type ReadRow,
  type RejectedRow,
  type Run,
  type SentTable,
  type Slice,
} from '@heapferry/domain'
import { createPersons } from '@heapferry/fake-posthog'
import { convertersOf, noIdentities, verifyAgainstPostHog } from '@heapferry/migration'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { EventSearch } from '../../apps/fake-posthog/src/event-search.ts'
import { createStore } from '../../apps/fake-posthog/src/store.ts'
import { conversionOf } from '../../packages/migration/src/end-of-row.ts'
import { PeopleSample } from '../../packages/migration/src/verify/people-sample.ts'
import { chunkOf, runOf } from '../support/chunk.ts'
import { tries } from '../support/tries.ts'
import { exportFileOf, identifyRecords, identitiesOf, type TestTable, userMigrations, users } from './identities-of.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const sentAtMs = Date.UTC(2024, 0, 2)
const settledMs = sentAtMs + 3 * hourMs
const [lastOfJanuary, firstOfFebruary] = ['2023-01-31 23:59:59.999', '2023-02-01 00:00:00']

test('people are counted by event and month (UTC): one who has several ids, whose rows repeat, or of the last millisecond', async () => {
  const bench = await workbench({
    users: [
      ['1', 'ada'],
      ['2', 'ada'],
      ['3', 'bob'],
      ['4', null],
    ],
    migrations: [
      ['5', '6'],
      ['6', '3'],
    ],
    visits: [
      visit('1', lastOfJanuary),
      visit('1', lastOfJanuary),
      visit('2', lastOfJanuary),
      visit('3', lastOfJanuary),
      visit('5', firstOfFebruary),
      visit('6', firstOfFebruary),
      visit('4', firstOfFebruary),
      visit('9', firstOfFebruary),
    ],
  })
  const { verification, peopleByMonth } = await bench.look()
  expect(verification).toMatchObject({
    verdict: 'verified',
    message: expect.stringContaining('and counts the people that the export has'),
    unique_people: { differing: [], left_out: 0, sample: { people: 4, differing: [] } },
  })
  expect(peopleByMonth?.filter(({ event }) => event === 'visit')).toEqual([
    { event: 'visit', from: '2023-01-01', to: '2023-01-31', expected: 2, found: 2 },
    { event: 'visit', from: '2023-02-01', to: '2023-02-28', expected: 3, found: 3 },
  ])
})

const id = fc.constantFrom('1', '2', '3', '4', '5', '-7', '9223372036854775807')
// Some read like the id of a user.
const identity = fc.option(fc.constantFrom('ada', ' ada ', 'bob', '2', '05', '77'), { freq: 3 })
const world = fc.record({
  users: fc.array(fc.tuple(id, identity), { maxLength: 6 }),
  migrations: fc.array(fc.tuple(id, id), { maxLength: 5 }),
  identifyRecords: fc.array(fc.tuple(id, identity), { maxLength: 3 }),
  visits: fc.array(
    fc.tuple(fc.oneof(id, fc.constant('77')), fc.constantFrom(lastOfJanuary, firstOfFebruary, '2022-12-01 00:00:00')),
    { maxLength: 20 },
  ),
  anonymous: fc.constantFrom('full' as const, 'personless' as const),
})

test('whatever is merged, in whatever order events arrive, PostHog counts the people that the export has', async () => {
  await fc.assert(
    fc.asyncProperty(world, fc.infiniteStream(fc.nat()), async ({ visits, ...given }, keys) => {
      const bench = await workbench({ ...given, visits: visits.map(([user, time]) => visit(user, time)) }, (events) =>
        events
          .map((event) => ({ event, key: keys.next().value ?? 0 }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ event }) => event),
      )
      const { verification } = await bench.look()
      expect([verification.message, verification.unique_people?.differing]).toEqual([verification.message, []])
      expect(verification.verdict).toBe('verified')
      expect(verification.unique_people?.sample?.differing).toEqual([])
    }),
    { numRuns: tries(500) },
  )
})

test('the same people are sampled in whatever order they come, and of each all events are seen', () => {
  const people = fc.array(fc.integer({ min: -20, max: 20 }), { maxLength: 200 })
  fc.assert(
    fc.property(people, fc.integer({ min: 1, max: 5 }), (seen, size) => {
      const sample = new PeopleSample(size)
      const counts: number[] = []
      let groups = 0
      for (const high of seen) {
        const found = sample.find({ low: 7, high, isMerged: false }, () => groups++)
        if (found) counts[found.group] = (counts[found.group] ?? 0) + 1
      }
      const first = [...new Set(seen)].toSorted((a, b) => a - b).slice(0, size)
      expect(sample.people.map(({ person, group }) => [person.high, counts[group]])).toEqual(
        first.map((high) => [high, seen.filter((one) => one === high).length]),
      )
    }),
  )
})

const merged = {
  users: [
    ['1', 'ada@x.com'],
    ['2', 'ada@x.com'],
    ['3', 'bob@x.com'],
  ] as Claim[],
  visits: [
    visit('1', lastOfJanuary),
    visit('2', lastOfJanuary),
    visit('3', lastOfJanuary),
    visit('1', firstOfFebruary),
    visit('3', firstOfFebruary),
  ],
}

test('a merge that PostHog has not made is named by event, month and people; pending at first, then missing', async () => {
  const bench = await workbench(merged)
  bench.search.regroup((one) => (one === '2' ? 'somebody else' : undefined))
  const soon = await bench.look(sentAtMs + 60_000)
  expect([soon.verification.verdict, soon.verification.look_again_at]).toEqual(['pending', expect.any(String)])
  const { verification } = await bench.look()
  expect(verification).toMatchObject({
    verdict: 'missing',
    message: expect.stringContaining('merges of people in 1 of 3 counts by event and month'),
    unique_people: {
      compared: 3,
      differing: [
        {
          event: 'visit',
          from: '2023-01-01',
          to: '2023-01-31',
          expected: 2,
          found: 3,
          people: [{ ids: ['1', '2'], expected: 1, persons: [expect.any(String), 'somebody else'] }],
        },
      ],
      sample: { people: 2, differing: [{ ids: ['1', '2'], expected_events: 5, found_events: 4 }] },
    },
  })
  bench.search.regroup(() => undefined)
  expect((await bench.look()).verification.verdict).toBe('verified')
})

test('people whom other code has merged are fewer in PostHog, which is said, and whom it concerns', async () => {
  const bench = await workbench({ ...merged, users: [['1', 'ada@x.com']], visits: merged.visits })
  const ofOne = bench.personIdOf('1')
  bench.search.regroup((one) => (one === '3' ? ofOne : undefined))
  const { verification } = await bench.look()
  expect(verification).toMatchObject({
    verdict: 'surplus',
    message: 'PostHog counts fewer people than the export has in 2 of 3 counts by event and month.',
    notes: [expect.stringContaining('where other code than the run’s has merged people')],
    unique_people: {
      differing: [
        { event: 'visit', expected: 3, found: 2, people: [{ ids: ['1', '3'], expected: 2, persons: [ofOne] }] },
        { event: 'visit', expected: 2, found: 1 },
      ],
    },
  })
})

test('whatever differs, nothing that is kept names an identity', async () => {
  const bench = await workbench(merged)
  bench.search.regroup((one) => (one.startsWith('bob') ? bench.personIdOf('1') : undefined))
  const { verification } = await bench.look()
  expect(verification.unique_people?.differing).toMatchObject([
    { event: '$identify', expected: 2, found: 1, people: [{ ids: [], expected: 2 }] },
  ])
  expect(JSON.stringify(verification)).not.toMatch(/bob|ada@/)
})

test('three people are named at most, each with all the ids that are seen of them', async () => {
  const claims = Array.from({ length: 12 }, (_, nth): Claim => [String(nth + 1), `person ${Math.floor(nth / 3)}`])
  const bench = await workbench({ users: claims, visits: claims.map(([user]) => visit(user, lastOfJanuary)) })
  bench.search.regroup((one) => (/^\d+$/.test(one) ? `own ${one}` : undefined))
  const [difference] = (await bench.look()).verification.unique_people?.differing ?? []
  expect(difference?.people).toHaveLength(3)
  expect(difference?.people[0]).toEqual({
    ids: ['10', '11', '12'],
    expected: 1,
    persons: ['own 10', 'own 11', 'own 12'],
  })
})

test('a merge that PostHog refused, and that is listed as rejected, is not expected', async () => {
  const bench = await workbench(
    merged,
    (events) => events.filter(({ properties }) => properties.$anon_distinct_id !== '2'),
    {
      rejected: [['users', 2]],
    },
  )
  const { verification, peopleByMonth } = await bench.look()
  expect(verification).toMatchObject({ verdict: 'verified', unique_people: { differing: [] } })
  expect(peopleByMonth).toContainEqual({ event: 'visit', from: '2023-01-01', to: '2023-01-31', expected: 3, found: 3 })
})

test('rows that a retry has sent, perhaps of somebody else, leave open as many people, and no more', async () => {
  const mended = await workbench(merged, mendVisit('3', '8'), { retried: [['visit', 3]] })
  const { verification } = await mended.look()
  expect(verification).toMatchObject({ verdict: 'verified', unique_people: { differing: [], sample: null } })
  expect(verification.notes.join('\n')).toContain('Rows were sent by retries')
  mended.search.regroup((one) => (one === '2' ? 'apart' : undefined))
  expect((await mended.look()).verification.verdict).toBe('missing')
})

test('people of an event and month of which events are missing are not compared, and that is said', async () => {
  const bench = await workbench(merged)
  bench.search.lose(({ event, distinct_id }) => event === 'visit' && distinct_id === '3')
  const soon = await bench.look(sentAtMs)
  expect([soon.verification.verdict, soon.verification.unique_people]).toEqual(['pending', null])
  const { verification } = await bench.look()
  expect(verification).toMatchObject({
    verdict: 'missing',
    message: '2 of 8 events are missing in PostHog.',
    unique_people: { compared: 1, left_out: 2, differing: [], sample: null },
  })
})

test('an export is read for people once, however often PostHog is asked, and only months that differ are asked for again', async () => {
  const bench = await workbench(merged)
  bench.search.regroup((one) => (one === '2' ? 'apart' : undefined))
  await bench.look(sentAtMs)
  const read = bench.rowsRead()
  await bench.look(sentAtMs)
  expect([bench.rowsRead(), bench.asked]).toEqual([read, [['2022-01', '2023-01', '2023-02'], ['2023-01']]])
})

test('a large export is not read for people unless that is wanted, and that is said', async () => {
  const bench = await workbench(merged)
  bench.plannedRows = 50_000_000
  const { verification } = await bench.look()
  expect([verification.verdict, verification.unique_people, bench.rowsRead()]).toEqual(['verified', null, 0])
  expect(verification.notes.join('\n')).toContain('`verify --people` does it')
  bench.people = true
  expect((await bench.anotherCommand().look()).verification.unique_people?.compared).toBe(3)
})

test('where people are wanted and the export is gone, that is an error', async () => {
  const bench = await workbench(merged)
  bench.people = true
  bench.unreadable = true
  await expect(bench.anotherCommand().look()).rejects.toThrow('People cannot be compared')
})

const TwoTexts = z.tuple([z.string(), z.string()])
const TextAndCount = z.tuple([z.string(), z.number()])
const CountRow = z.tuple([z.number(), z.string(), z.number(), z.number(), z.number()])

type Claim = [user: string, identity: string | null]

interface Visit {
  user: string
  time: string
}

function visit(user: string, time: string): Visit {
  return { user, time }
}

/** The visits of one user are sent as those of another. */
function mendVisit(from: string, to: string) {
  return (events: readonly PostHogEvent[]): PostHogEvent[] =>
    events.map((event) =>
      event.event === 'visit' && event.distinct_id === from ? { ...event, distinct_id: to } : event,
    )
}

interface World {
  users: readonly Claim[]
  migrations?: readonly (readonly [string, string])[]
  identifyRecords?: readonly Claim[]
  visits: readonly Visit[]
  anonymous?: Mapping['anonymous']
}

/**
 * A complete run, and a PostHog that makes persons of what arrives.
 * @param arriving what arrives of the events, in which order
 * @param ended rows that PostHog refused, or that a retry has sent, by table
 */
async function workbench(
  { users: claims, migrations = [], identifyRecords: records = [], visits, anonymous = 'full' }: World,
  arriving: (events: readonly PostHogEvent[]) => readonly PostHogEvent[] = (events) => events,
  { rejected = [], retried = [] }: Partial<Record<'rejected' | 'retried', [table: string, row: number][]>> = {},
) {
  const run: Run = { ...runOf('people'), mapping: { ...defaultMapping, anonymous } }
  const dated = users(claims.map((claim) => [...claim, '2022-01-01']))
  const ofPeople: TestTable[] = [
    userMigrations(migrations.map((pair) => [...pair, '2022-01-01'])),
    { ...dated, columns: [...dated.columns, 'joindate'] },
    identifyRecords(records.map((record) => [...record, '2022-01-01'])),
  ].map((table) => ({ ...table, columns: table.columns.length === 3 ? table.columns : [...table.columns, 'time'] }))
  // The same visit twice is a row that the export repeats.
  const ids = visits.map(({ user, time }) =>
    String(1000 + visits.findIndex((one) => one.user === user && one.time === time)),
  )
  const ofVisits: TestTable = {
    table: { kind: 'event', name: 'visit' },
    columns: ['event_id', 'user_id', 'time'],
    rows: visits.map(({ user, time }, nth) => [ids[nth] ?? null, user, time]),
  }
  const tables = new Map([...ofPeople, ofVisits].map((table, nth) => [exportFileOf(table, nth), table]))
  const identities = ofPeople.some(({ rows }) => rows.length > 0) ? await identitiesOf(...ofPeople) : noIdentities
  const converterFor = convertersOf(run, identities, null)

  const rowsOf = (file: ExportFile): ReadRow[] => {
    const { columns, rows } = tables.get(file) ?? { columns: [], rows: [] }
    return rows.map((values, nth) => ({ kind: 'row', place: { row: nth + 1, byte: nth }, columns, values }))
  }
  const sentOf = (file: ExportFile): PostHogEvent[] =>
    rowsOf(file).flatMap((row) => {
      const conversion = conversionOf(row, file.table, converterFor)
      return conversion.kind === 'event' && !has(rejected, file, row) ? [conversion.event] : []
    })

  const persons = createPersons('ids')
  const store = createStore('events', (event) => {
    persons.add(event)
    search.noteArrival()
  })
  const search = new EventSearch({ stored: store.stored, persons })
  store.add(arriving([...tables.keys()].flatMap(sentOf)).map((event) => ({ ...event })))

  const tallies = [...tables.keys()].map((file) => ({
    table: file.table.name,
    phase: phaseOf(file.table.kind),
    planned: rowsOf(file).length,
    tally: { ...emptyTally, read: rowsOf(file).length, sent: sentOf(file).length },
  }))
  let rowsRead = 0
  const bench = {
    search,
    asked: [] as string[][],
    people: undefined as boolean | undefined,
    plannedRows: null as number | null,
    unreadable: false,
    rowsRead: () => rowsRead,
    personIdOf: (distinctId: string) => personIds([distinctId]).get(distinctId) ?? '',
    look: (nowMs = settledMs) => current.look(nowMs),
    anotherCommand() {
      current = verifyAgainstPostHog(run, { ...work, people: bench.people })
      return bench
    },
  }

  async function* readAll(file: ExportFile): AsyncGenerator<Slice> {
    if (bench.unreadable) throw new OperatorError('visit.csv is gone', 'Put it back.')
    const rows = rowsOf(file)
    rowsRead += rows.length
    yield await Promise.resolve({ rows, next: rows.length })
  }

  const answer = <T extends z.ZodType>(row: T, query: Parameters<EventSearch['rowsOf']>[0]): z.infer<T>[] =>
    z.array(row).parse(search.rowsOf(query, {}))
  const personIds = (distinctIds: readonly string[]): Map<string, string> =>
    new Map(answer(TwoTexts, { kind: 'persons', ids: [...distinctIds] }))
  const ofRange = (range: { fromMs: number; toMs: number }) => ({ ...range, run: run.id })
  const place = (file: ExportFile, row: number) => ({ chunk: chunkOf(run.id, file, 0).id, row })
  const places = (list: readonly [string, number][]) =>
    list.flatMap(([table, row]) =>
      [...tables.keys()]
        .filter((file) => file.table.name === table)
        .map((file) => ({ ...place(file, row), file: file.id, table })),
    )

  const work: Parameters<typeof verifyAgainstPostHog>[1] = {
    ledger: {
      progress: () =>
        Promise.resolve({
          intent: { kind: 'run', by: 'ada', acceptedTables: [] },
          transport: null,
          phases: [
            { phase: 'identities', sealed: true, planned: 1, done: 1 },
            { phase: 'events', sealed: true, planned: 1, done: 1 },
          ],
          tables: tallies.map((one) => ({ ...one, planned: bench.plannedRows ?? one.planned })),
          samples: [{ atMs: sentAtMs, rowsRead: 1 }],
          waiting: [],
          pace: noPace,
          nowMs: 0,
          wantedAtMs: 0,
          producedAtMs: null,
          unloading: null,
        }),
      sentTables: () =>
        Promise.resolve([...tables.keys()].map((file) => sentTableOf(file.table.name, arrived(sentOf(file))))),
      files: () => Promise.resolve([...tables.keys()]),
      async *rejectedRows() {
        for (const one of places(rejected))
          yield { ...one, byte: one.row - 1, reason: 'refused_by_posthog', detail: 'no' } satisfies RejectedRow
      },
      async *retriedRows() {
        yield* places(retried)
      },
      timeline: () => Promise.resolve([]),
      verifications: () => Promise.resolve({ posthog: null, source: null }),
    },
    source: {
      readAll,
      sample: (file) => Promise.resolve({ rows: rowsOf(file), bytesPerRow: null, whole: true }),
    },
    countEvents: (ranges) =>
      Promise.resolve(
        ranges.flatMap((range) =>
          answer(CountRow, { kind: 'counts', ...ofRange(range), limit: 1000 }).map(
            ([day, event, rows, different, uuids]) => ({
              event,
              day,
              rows,
              different,
              uuids,
            }),
          ),
        ),
      ),
    countPeople(ranges) {
      bench.asked.push(ranges.map(({ fromMs }) => new Date(fromMs).toISOString().slice(0, 7)))
      const people = (range: (typeof ranges)[number]) =>
        answer(TextAndCount, { kind: 'people', ...ofRange(range), limit: 1000 })
      return Promise.resolve(ranges.map((range) => ({ range, people: new Map(people(range)) })))
    },
    idsOfEvent({ event, range, after }) {
      // Pages of two, so that there are several.
      const rows = answer(TwoTexts, { kind: 'ids', ...ofRange(range), event, after, limit: 2 })
      const found = rows.map(([distinctId, personId]) => ({
        distinctId,
        personId,
      }))
      return Promise.resolve({ ids: found, after: found.length < 2 ? null : (found.at(-1)?.distinctId ?? null) })
    },
    countEventsOfPeople: ({ personIds: some, ranges }) => {
      const counts = new Map<string, number>()
      for (const range of ranges)
        for (const [person, events] of answer(TextAndCount, {
          kind: 'events_of_people',
          ...ofRange(range),
          personIds: [...some],
        }))
          counts.set(person, (counts.get(person) ?? 0) + events)
      return Promise.resolve(counts)
    },
    personIds: (some) => Promise.resolve(personIds(some)),
    identities: () => Promise.resolve(identities),
    hashSalt: null,
    scratch: { append: () => Promise.resolve(), take: () => Promise.resolve(new Uint8Array()) },
    by: 'ada',
    notes: [],
    people: undefined,
    lagMs: hourMs,
    signal: new AbortController().signal,
  }
  /** What of the events of a table arrives: a retry may have sent another. */
  const arrived = (events: readonly PostHogEvent[]): readonly PostHogEvent[] =>
    retried.length > 0 ? arriving(events) : events
  let current = verifyAgainstPostHog(run, work)
  return bench
}

function has(list: readonly [table: string, row: number][], file: ExportFile, row: ReadRow): boolean {
  return list.some(([table, number]) => table === file.table.name && number === row.place.row)
}

function sentTableOf(table: string, events: readonly PostHogEvent[]): SentTable {
  const byEvent = new Map<string, Map<number, number>>()
  for (const { event, timestamp } of events) {
    const days = byEvent.get(event) ?? new Map<number, number>()
    byEvent.set(event, days)
    const day = Math.floor(Date.parse(timestamp) / dayMs)
    days.set(day, (days.get(day) ?? 0) + 1)
  }
  return { table, rows: events.length, events: [...byEvent].map(([event, days]) => ({ event, days })) }
}
