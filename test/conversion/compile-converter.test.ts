import { compileConverter } from '@heapferry/conversion'
import { conversionVersion, defaultMapping, RunId, tableOf } from '@heapferry/domain'
import type { PostHogEvent } from '@heapferry/domain'
import * as fc from 'fast-check'
import { noIdentities } from '@heapferry/migration'
import { expect, test } from 'vitest'

type Row = Record<string, string | null>

const startedAtMs = Date.UTC(2024, 0, 1)

function convert(tableName: string, row: Row, run = 'a', startMs = startedAtMs) {
  const columns = Object.keys(row)
  const converter = compileConverter(tableOf(tableName, columns), columns, {
    run: RunId.parse(run),
    conversion: conversionVersion,
    mapping: defaultMapping,
    startedAtMs: startMs,
    includeRecent: false,
    identities: noIdentities,
    hash: null,
  })
  return converter(Object.values(row))
}

function eventOf(tableName: string, row: Row, run?: string, startMs?: number): PostHogEvent {
  const conversion = convert(tableName, row, run, startMs)
  if (conversion.kind !== 'event') throw new Error(`expected an event, got ${JSON.stringify(conversion)}`)
  return conversion.event
}

const id = fc.bigInt({ min: 1n, max: 2n ** 53n }).map(String)
const time = fc.integer({ min: Date.UTC(2010), max: Date.UTC(2023, 11, 29) }).map((ms) => new Date(ms).toISOString())
const cell = fc.option(fc.oneof(fc.string(), fc.string({ unit: 'binary' })))
const names = [
  'platform',
  'browser',
  'country',
  'referrer',
  'domain',
  'path',
  'query',
  'hash',
  'landing_page',
  'ip',
  'library',
  'view_controller',
  'screen_dimensions',
  'title',
  'plan',
  'plan.name',
  'plan_name',
  'distinct_id',
  '$set',
]
const extras = fc.dictionary(fc.constantFrom(...names), cell, { noNullPrototype: true })

const anyRow = fc
  .record({ user_id: id, event_id: fc.option(id), session_id: fc.option(id), time, extras })
  .map(({ extras: rest, ...fixed }): Row => ({ ...rest, ...fixed }))
const table = fc.constantFrom('pageviews', 'signup')

function timeOf(uuid: string): number {
  return Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16)
}

function shuffled(row: Row, order: readonly number[]): Row {
  const entries = Object.entries(row).map((entry, index) => ({ entry, key: order[index] ?? 0 }))
  return Object.fromEntries(entries.toSorted((a, b) => a.key - b.key).map(({ entry }) => entry))
}

test('what becomes of a row does not depend on the order of its columns or on columns that hold nothing', () => {
  fc.assert(
    fc.property(table, anyRow, fc.array(fc.nat(), { minLength: 40, maxLength: 40 }), (name, cells, order) => {
      const other = shuffled({ ...cells, absent_elsewhere: null, empty_here: '', _fivetran_synced: 'x' }, order)
      expect(eventOf(name, other)).toEqual(eventOf(name, cells))
    }),
  )
})

test('uuid, name, distinct_id and timestamp do not depend on the run', () => {
  fc.assert(
    fc.property(table, anyRow, (name, cells) => {
      const { properties: _, ...first } = eventOf(name, cells)
      const { properties: __, ...second } = eventOf(name, cells, 'b', startedAtMs + 1e10)
      expect(second).toEqual(first)
    }),
  )
})

test("every uuid is a UUIDv7 of the event's millisecond, every $session_id one of its UTC day", () => {
  const v7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
  fc.assert(
    fc.property(table, anyRow, (name, cells) => {
      const event = eventOf(name, cells)
      expect(event.timestamp).toBe(cells['time'])
      expect(event.uuid).toMatch(v7)
      expect(timeOf(event.uuid)).toBe(Date.parse(event.timestamp))
      const session = event.properties['$session_id']
      if (cells['session_id'] === null) expect(session).toBeUndefined()
      else {
        expect(session).toMatch(v7)
        expect(timeOf(String(session))).toBe(Date.parse(`${event.timestamp.slice(0, 10)}T00:00:00Z`))
      }
    }),
  )
})

test('the uuid of a row with an event_id does not depend on user_id, nor on anything but table, event_id and time', () => {
  fc.assert(
    fc.property(table, anyRow, anyRow, id, (name, cells, others, eventId) => {
      const pinned = { event_id: eventId, time: cells['time'] ?? null }
      expect(eventOf(name, { ...others, ...pinned }).uuid).toBe(eventOf(name, { ...cells, ...pinned }).uuid)
    }),
  )
})

test('tables, event ids, and rows without event id that differ anywhere have different uuids', () => {
  const base: Row = { user_id: '1', event_id: '12', time: '2023-01-02 03:04:05' }
  const bare: Row = { user_id: '1', time: '2023-01-02 03:04:05', a: 'x' }
  const uuids = [
    eventOf('t1', { ...base, event_id: '2' }),
    eventOf('t', { ...base, event_id: '12' }),
    eventOf('t', { ...base, event_id: '13' }),
    eventOf('t', bare),
    eventOf('t1', bare),
    eventOf('t', { ...bare, user_id: '2' }),
    eventOf('t', { ...bare, a: 'x1:b=1:y' }),
    eventOf('t', { ...bare, b: 'y' }),
    eventOf('t', { user_id: '1', time: '2023-01-02 03:04:05', b: 'x' }),
  ].map(({ uuid }) => uuid)
  expect(new Set(uuids).size).toBe(uuids.length)
})

test('sessions are told apart by user, session and day, and are the same in every table', () => {
  const base: Row = { user_id: '1', event_id: '12', session_id: '3', time: '2023-01-02 03:04:05' }
  const session = (name: string, change: Row) => eventOf(name, { ...base, ...change }).properties['$session_id']
  expect(session('signup', { event_id: '13', time: '2023-01-02 23:59:59.999' })).toBe(session('pageviews', {}))
  const different = [
    {},
    { user_id: '2' },
    { session_id: '4' },
    { time: '2023-01-03 00:00:00' },
    { user_id: '13', session_id: '' },
  ]
  expect(new Set(different.map((change) => session('pageviews', change))).size).toBe(different.length)
})

test('whatever a cell holds, a strict JSON parser takes the event: no NUL, no half of a surrogate pair', () => {
  fc.assert(
    fc.property(table, anyRow, (name, cells) => {
      const json = JSON.stringify(eventOf(name, cells))
      expect(json).not.toMatch(/\\u(0000|d[89a-f])/)
    }),
  )
})

test('no cell can replace what heapferry itself says about an event', () => {
  const own = { $geoip_disable: true, historical_migration: true, analytics_source: 'heap', $import_job_id: 'a' }
  const columns = [
    '$geoip_disable',
    'historical_migration',
    'analytics_source',
    '$import_job_id',
    'distinct_id',
    'token',
    'uuid',
    '__proto__',
  ]
  const cells = Object.fromEntries([
    ...columns.map((column) => [column, 'x']),
    ['user_id', '1'],
    ['event_id', '2'],
    ['time', '2023-01-02 03:04:05'],
  ])
  const event = eventOf('signup', cells)
  expect(event.properties).toMatchObject(own)
  for (const name of ['distinct_id', 'token', 'uuid']) expect(event.properties).not.toHaveProperty(name)
})

test('what is said about a rejected row is an id or a time, never another cell', () => {
  const secret = 'secret@example.com'
  for (const change of [
    { user_id: null },
    { user_id: '1e15' },
    { event_id: 'x' },
    { time: 'x' },
    { time: null },
    { time: '1970-01-01 00:00:00' },
  ]) {
    const conversion = convert('signup', {
      user_id: '1',
      event_id: '2',
      time: '2023-01-02 03:04:05',
      email: secret,
      ...change,
    })
    expect(conversion.kind).toBe('reject')
    expect(JSON.stringify(conversion)).not.toContain(secret)
  }
  const user = convert('users', {
    user_id: '1',
    identity: `${secret}${'x'.repeat(200)}`,
    joindate: '2023-01-02 03:04:05',
  })
  expect(user).toMatchObject({ kind: 'reject', reason: 'distinct_id_too_long' })
  expect(JSON.stringify(user)).not.toContain(secret)
})
