import { textHash } from '@heapferry/conversion'
import { OperatorError, type PostHogEvent } from '@heapferry/domain'
import avro from 'avsc'
import fc from 'fast-check'
import type { ColumnSource } from 'hyparquet-writer'
import { expect, test } from 'vitest'
import { avroFile } from '../sources/avro-file.ts'
import { parquetFile } from '../sources/parquet-file.ts'
import { tries } from '../support/tries.ts'
import { type Files, type Outcome, outcomeOf, personOf } from './outcome-of.ts'

interface Case {
  /** The sentence that the case stands for. */
  says: string
  files: Files
  mapping?: unknown
  /** Asked of the outcome; none where the run stops. */
  check?: (outcome: Outcome) => void
  /** What the run stops with. */
  stops?: RegExp
}

/** Lines of a CSV file. */
function csv(...lines: string[]): string {
  return `${lines.join('\n')}\n`
}

function turned(events: readonly PostHogEvent[]): PostHogEvent[] {
  return events.toReversed()
}

/** In whatever order events arrive, somebody has these properties. */
function has(distinctId: string, properties: Record<string, unknown>): (outcome: Outcome) => void {
  return ({ events }) => {
    for (const order of [events, turned(events)]) expect(personOf(order, distinctId)).toMatchObject(properties)
  }
}

const people: Case[] = [
  {
    says: 'of two rows of one user the newest by last_modified counts, though it comes first',
    files: {
      'users.csv': csv(
        'user_id,identity,joindate,last_modified,plan',
        '4702333951502204,ada@example.com,2022-01-01 00:00:00,2023-06-01 00:00:00,Enterprise',
        '4702333951502204,ada@example.com,2022-01-01 00:00:00,2022-02-01 00:00:00,Free',
      ),
    },
    check: (outcome) => {
      has('ada@example.com', { plan: 'Enterprise' })(outcome)
      expect(outcome.skipped).toEqual({ superseded: 1 })
    },
  },
  {
    says: 'it counts though it lies in another file, and last_modified is a number there',
    files: {
      'users_0.csv': csv('user_id,last_modified,joindate,plan', '12,1685577600000,2022-01-01 00:00:00,Enterprise'),
      'users_1.csv': csv('user_id,last_modified,joindate,plan', '12,2022-02-01 00:00:00,2022-01-01 00:00:00,Free'),
    },
    check: (outcome) => {
      has('12', { plan: 'Enterprise' })(outcome)
      expect(outcome.events).toHaveLength(1)
    },
  },
  {
    says: 'without last_modified the later joindate counts, and without both the later row',
    files: {
      'users.csv': csv(
        'user_id,joindate,lastseen,plan',
        '1,2022-03-01 00:00:00,,Enterprise',
        '1,2022-01-01 00:00:00,,Free',
        '2,,2022-01-01 00:00:00,Free',
        '2,,2022-01-01 00:00:00,Enterprise',
      ),
    },
    check: (outcome) => {
      has('1', { plan: 'Enterprise' })(outcome)
      has('2', { plan: 'Enterprise' })(outcome)
    },
  },
  {
    says: 'of two ids of one identity the newest row counts, an older one fills in, and the earliest joindate stays',
    files: {
      'users.json': [
        {
          user_id: 1,
          identity: 'ada',
          joindate: '2021-01-01 00:00:00',
          last_modified: '2022-01-01 00:00:00',
          plan: 'Free',
          team: 'red',
          initial_utm_source: 'first',
        },
        {
          user_id: 2,
          identity: 'ada',
          joindate: '2022-01-01 00:00:00',
          last_modified: '2023-01-01 00:00:00',
          plan: 'Pro',
          initial_utm_source: 'second',
        },
      ]
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    },
    check: has('ada', {
      plan: 'Pro',
      team: 'red',
      joindate: '2021-01-01T00:00:00.000Z',
      $initial_utm_source: 'first',
      heap_user_id: '2',
    }),
  },
  {
    says: 'of three ids each value comes from the newest row that has one, also where nothing may be overwritten',
    files: {
      'users.csv': csv(
        'user_id,identity,joindate,last_modified,plan,team,city',
        '3,ada,2021-03-01 00:00:00,2023-03-01 00:00:00,Pro,,',
        '1,ada,2021-01-01 00:00:00,2023-01-01 00:00:00,Free,red,Wien',
        '2,ada,2021-02-01 00:00:00,2023-02-01 00:00:00,Free,blue,',
      ),
    },
    mapping: { persons: 'set_once' },
    check: has('ada', { plan: 'Pro', team: 'blue', $geoip_city_name: 'Wien', joindate: '2021-01-01T00:00:00.000Z' }),
  },
  {
    says: 'of two ids that a migration joins the newest row counts, and the kept id where no row tells',
    files: {
      'users.csv': csv(
        'user_id,identity,joindate,last_modified,plan',
        '1,,2021-01-01 00:00:00,2023-06-01 00:00:00,Pro',
        '2,ada,2021-02-01 00:00:00,2023-01-01 00:00:00,Free',
        '3,,2021-05-01 00:00:00,,Free',
        '4,eve,2021-02-01 00:00:00,,Pro',
      ),
      'user_migrations.csv': csv('from_user_id,to_user_id', '1,2', '3,4'),
    },
    check: (outcome) => {
      has('ada', { plan: 'Pro', joindate: '2021-01-01T00:00:00.000Z' })(outcome)
      has('eve', { plan: 'Pro', joindate: '2021-02-01T00:00:00.000Z' })(outcome)
    },
  },
  {
    says: 'an older row that alone knows the identity still joins the id, with none of its values',
    files: {
      'users.csv': csv(
        'user_id,identity,joindate,last_modified,plan',
        '1,ada,2021-01-01 00:00:00,2022-01-01 00:00:00,Free',
        '1,,2021-01-01 00:00:00,2023-01-01 00:00:00,Pro',
      ),
    },
    check: (outcome) => {
      has('ada', { plan: 'Pro' })(outcome)
      for (const order of [outcome.events, turned(outcome.events)]) expect(personOf(order, '1')?.plan).toBe('Pro')
    },
  },
  {
    says: 'a row of users whose id only an identify record joins goes to that person',
    files: {
      'users.json': `${JSON.stringify({ user_id: 7, joindate: '2021-01-01 00:00:00', plan: 'Pro' })}\n`,
      'events.json': [
        { id: '(1,7)', identity: 'ada', time: '2021-02-01 00:00:00' },
        { id: '(1,7)', event_id: 9, type: 'click', time: '2021-02-02 00:00:00' },
      ]
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    },
    check: (outcome) => {
      has('ada', { plan: 'Pro' })(outcome)
      expect(outcome.events.map((event) => [event.event, event.distinct_id])).toEqual([
        ['click', '7'],
        ['$identify', 'ada'],
        ['$set', 'ada'],
      ])
    },
  },
  {
    says: 'a row that the mapping leaves out, or that is deleted, is no newer row',
    files: {
      'users.csv': csv(
        'user_id,joindate,last_modified,plan,_fivetran_deleted',
        '1,2021-01-01 00:00:00,2022-01-01 00:00:00,Free,false',
        '1,2021-01-01 00:00:00,2023-01-01 00:00:00,Test,false',
        '1,2021-01-01 00:00:00,2024-01-01 00:00:00,Pro,true',
      ),
    },
    mapping: { tables: { users: { where: { plan: { not_equals: 'Test' } } } } },
    check: (outcome) => {
      has('1', { plan: 'Free' })(outcome)
      expect(outcome.skipped).toEqual({ filtered_out: 1, deleted_in_source: 1 })
    },
  },
]

const deleted: Case[] = [
  {
    says: 'rows that Fivetran has marked as deleted are skipped, people and events alike',
    files: {
      'users.csv': csv('user_id,identity,_fivetran_deleted', '1,ada,false', '2,eve,true'),
      'signup.csv': csv(
        'user_id,event_id,time,_fivetran_deleted',
        '1,1,2023-01-01 00:00:00,false',
        '1,2,2023-01-01 00:00:00,TRUE',
      ),
      'user_migrations.csv': csv('from_user_id,to_user_id,_fivetran_deleted', '5,6,true'),
    },
    check: ({ events, skipped }) => {
      expect(events).toHaveLength(2)
      expect(skipped).toEqual({ deleted_in_source: 3 })
    },
  },
  ...(
    [
      ['_sdc_deleted_at', '2023-05-05 00:00:00 UTC', ''],
      ['_ab_cdc_deleted_at', '2023-05-05T00:00:00Z', ''],
      ['__deleted', 'true', 'false'],
      ['_peerdb_is_deleted', '1', '0'],
    ] as const
  ).map(
    ([column, marked, unmarked]): Case => ({
      says: `${column} marks a row as deleted with "${marked}", and not with "${unmarked}"`,
      files: {
        'signup.csv': csv(
          `user_id,event_id,time,${column}`,
          `1,1,2023-01-01 00:00:00,${unmarked}`,
          `1,2,2023-01-01 00:00:00,${marked}`,
        ),
      },
      check: ({ events, skipped }) => {
        expect(events.map(({ properties }) => properties.heap_event_id)).toEqual(['1'])
        expect(skipped).toEqual({ deleted_in_source: 1 })
      },
    }),
  ),
  {
    says: 'the mapping sends them, and a property of the name is_deleted is no mark',
    files: {
      'signup.csv': csv(
        'user_id,event_id,time,_fivetran_deleted,is_deleted',
        '1,1,2023-01-01 00:00:00,true,',
        '1,2,2023-01-01 00:00:00,,true',
      ),
    },
    mapping: { deleted: 'send' },
    check: ({ events }) => expect(events).toHaveLength(2),
  },
]

const dates: Case[] = [
  {
    says: 'a joindate that is a day is its midnight in UTC',
    files: {
      'users.csv': csv('user_id,identity,joindate', '1,ada,2021-05-01', '2,,2021-05-02'),
      'user_migrations.csv': csv('from_user_id,to_user_id,time', '5,1,2021-06-01'),
    },
    check: (outcome) => {
      expect(outcome.events.map(({ timestamp }) => timestamp).toSorted()).toEqual([
        '2021-05-01T00:00:00.000Z',
        '2021-05-02T00:00:00.000Z',
        '2021-06-01T00:00:00.000Z',
      ])
      has('ada', { joindate: '2021-05-01T00:00:00.000Z' })(outcome)
      expect(outcome.notices).toEqual([])
    },
  },
  ...['03/05/2024', '5.3.2024', 'Mar 5, 2024'].map(
    (date): Case => ({
      says: `a joindate like "${date}" is told before 2010-01-01 is used`,
      files: { 'users.csv': csv('user_id|identity|joindate', `1|ada|${date}`, `2|eve|${date}`, '3|bob|2024-03-05') },
      check: ({ notices, events }) => {
        expect(notices).toEqual([expect.stringContaining(`users has 2 rows with an identity`)])
        expect(notices[0]).toContain(`joindate is like "${date}"`)
        expect(events.filter(({ timestamp }) => timestamp === '2010-01-01T00:00:00.000Z')).toHaveLength(2)
      },
    }),
  ),
  {
    says: 'a date that the mapping hides is not shown, and one whose row has another date is not told',
    files: {
      'users.csv': csv('user_id|identity|joindate|last_modified', '1|ada|03/05/2024|', '2|eve|x|2024-03-05 00:00:00'),
    },
    mapping: { properties: { joindate: 'drop' } },
    check: ({ notices }) => {
      expect(notices).toEqual([expect.stringContaining('users has 1 row with an identity')])
      expect(notices[0]).not.toContain('03/05')
    },
  },
]

const when: ColumnSource = { name: 'time', data: ['2023-01-01 00:00:00', '2023-01-02 00:00:00'], type: 'STRING' }

/** A table of two events in Parquet: user 1 and 2, with more columns. */
function parquet(...columns: ColumnSource[]): Buffer {
  const ids = ['user_id', 'event_id'].filter((id) => columns.every(({ name }) => name !== id))
  return parquetFile([...ids.map((name) => ({ name, data: [1n, 2n], type: 'INT64' as const })), when, ...columns])
}

/** The same in Avro: one event, whose last field is given. */
function avroOf(type: avro.Schema, value: unknown, name = 'value'): Buffer {
  const fields: { name: string; type: avro.Schema }[] = [
    { name: 'user_id', type: 'long' },
    { name: 'event_id', type: 'long' },
    { name: 'time', type: 'string' },
    { name, type },
  ]
  const schema: avro.Schema = { type: 'record', name: 'signup', fields }
  const data = avro.Type.forSchema(schema, { wrapUnions: true }).toBuffer({
    user_id: 1,
    event_id: 1,
    time: '2023-01-01 00:00:00',
    [name]: value,
  })
  return avroFile({ schema, blocks: [{ rows: 1, data }] })
}

/** One event in JSON lines, with more members. */
function json(members: string): string {
  return `{"user_id": 1, "event_id": 1, "time": "2023-01-01 00:00:00", ${members}}\n`
}

/** Each event, by the order of rows, has these properties; undefined for one that it does not have. */
function gives(...expected: Record<string, unknown>[]): (outcome: Outcome) => void {
  return ({ events, rejected }) => {
    expect(rejected).toEqual({})
    const names = expected.map((one) => Object.keys(one))
    expect(
      events.map(({ properties }, nth) =>
        Object.fromEntries((names[nth] ?? []).map((name) => [name, properties[name]])),
      ),
    ).toEqual(expected)
  }
}

const avroValues: [type: avro.Schema, value: unknown, expected: unknown][] = [
  ['long', 7, 7],
  ['double', 19.9, 19.9],
  ['float', 19.9, 19.9],
  ['boolean', true, true],
  ['string', '7', '7'],
  [{ type: 'array', items: 'long' }, [1, 2], [1, 2]],
  [{ type: 'map', values: 'string' }, { a: 'b' }, { a: 'b' }],
  [{ type: 'array', items: 'float' }, [19.9, 16777216, -0.1, 3.4e38], [19.9, 16777216, -0.1, 3.4e38]],
  [{ type: 'map', values: ['null', 'float'] }, { a: { float: 19.9 } }, { a: 19.9 }],
  [
    {
      type: 'record',
      name: 'cart',
      fields: [
        { name: 'lines', type: { type: 'array', items: 'float' } },
        { name: 'total', type: 'double' },
      ],
    },
    { lines: [0.3], total: 0.1234567890123 },
    { lines: [0.3], total: 0.1234567890123 },
  ],
  [['null', 'long'], { long: 7 }, 7],
  [['string', 'long', 'boolean'], { long: 7 }, 7],
  [['string', 'long', 'boolean'], { string: '7' }, '7'],
  [['null', 'double'], { double: Number.NaN }, undefined],
  [{ type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }, Buffer.from([0x07, 0xc6]), '19.90'],
]

const types: Case[] = [
  {
    says: 'numbers, booleans, lists and objects of JSON arrive as such, and text stays text',
    files: {
      'signup.json': json(
        '"price": 19.9, "count": 3, "gift": false, "tags": ["a", 1], "cart": {"total": 5}, "zip": "0123"',
      ),
    },
    check: gives({ price: 19.9, count: 3, gift: false, tags: ['a', 1], cart: { total: 5 }, zip: '0123' }),
  },
  {
    says: 'what a double does not hold stays text to the last digit, also inside of objects',
    files: {
      'signup.json': json(
        '"big": 9007199254740993, "cart": {"id": 9007199254740993, "sku": "9007199254740993", "n": [-1e400]}',
      ),
    },
    check: gives({
      big: '9007199254740993',
      cart: { id: '9007199254740993', sku: '9007199254740993', n: ['-1e400'] },
    }),
  },
  {
    says: 'a member is what it is in its own row',
    files: {
      'signup.json': [1, '1', true, null, [1], 'x']
        .map(
          (value, nth) => `${JSON.stringify({ user_id: 1, event_id: nth + 1, time: '2023-01-01 00:00:00', value })}\n`,
        )
        .join(''),
    },
    check: gives({ value: 1 }, { value: '1' }, { value: true }, { value: undefined }, { value: [1] }, { value: 'x' }),
  },
  {
    says: 'a member of people is what it is, current or initial; what Heap itself has stays text',
    files: {
      'users.json': `${JSON.stringify({ user_id: 1, joindate: '2021-01-01 00:00:00', seats: 5, initial_seats: 2, app_version: 4.2, browser_version: 17.1 })}\n`,
    },
    check: ({ events }) =>
      expect(events[0]?.properties).toMatchObject({
        $set: { seats: 5, $app_version: '4.2', $browser_version: 17.1 },
        $set_once: { $initial_seats: 2 },
      }),
  },
  {
    says: 'columns of Parquet arrive as what they are',
    files: {
      'signup.parquet': parquet(
        { name: 'price', data: [19.9, 1e21], type: 'DOUBLE' },
        { name: 'count', data: [3, -4], type: 'INT32' },
        { name: 'big', data: [9007199254740993n, 5n], type: 'INT64' },
        { name: 'gift', data: [true, false], type: 'BOOLEAN' },
        { name: 'name', data: ['1', 'true'], type: 'STRING' },
      ),
    },
    check: gives(
      { price: 19.9, count: 3, big: '9007199254740993', gift: true, name: '1' },
      { price: 1e21, count: -4, big: 5, gift: false, name: 'true' },
    ),
  },
  {
    says: 'numbers of 32 bits have the digits that they know: 19.9',
    files: {
      'signup.parquet': parquet(
        { name: 'price', data: [19.9, 16777216], type: 'FLOAT' },
        { name: 'browser_version', data: [17.1, 120], type: 'FLOAT' },
      ),
    },
    check: gives({ price: 19.9, $browser_version: 17.1 }, { price: 16777216, $browser_version: 120 }),
  },
  {
    says: 'NaN and infinity are nothing, in columns of any meaning',
    files: {
      'signup.parquet': parquet(
        { name: 'price', data: [Number.NaN, Number.POSITIVE_INFINITY], type: 'DOUBLE' },
        { name: 'path', data: [Number.NaN, Number.NaN], type: 'DOUBLE' },
        { name: 'session_id', data: [Number.NaN, 5], type: 'DOUBLE' },
        { name: 'ratio', data: [Number.NEGATIVE_INFINITY, 0.5], type: 'FLOAT' },
      ),
    },
    check: gives(
      { price: undefined, $pathname: undefined, heap_session_id: undefined, ratio: undefined },
      { price: undefined, $pathname: undefined, heap_session_id: '5', ratio: 0.5 },
    ),
  },
  ...avroValues.map(
    ([type, value, expected]): Case => ({
      says: `a value of Avro that is ${JSON.stringify(type)} arrives as ${JSON.stringify(expected)}`,
      files: { 'signup.avro': avroOf(type, value) },
      check: gives({ value: expected }),
    }),
  ),
  {
    says: 'rules of the mapping act on the text of a value, and another name alone leaves it what it is',
    files: { 'signup.json': json('"price": 19.9, "gift": true, "tags": ["a"], "phone": 49, "seats": 3') },
    mapping: {
      properties: {
        price: { name: 'amount' },
        gift: 'hash',
        tags: { name: 'labels' },
        phone: 'drop',
        seats: 'boolean',
      },
    },
    check: gives({
      amount: 19.9,
      labels: ['a'],
      gift: textHash('a salt')('true'),
      phone: undefined,
      // No boolean, so it stays what it was as text.
      seats: '3',
    }),
  },
  {
    says: 'CSV declares nothing: its cells are text',
    files: { 'signup.csv': csv('user_id,event_id,time,price,gift', '1,1,2023-01-01 00:00:00,19.9,true') },
    check: gives({ price: '19.9', gift: 'true' }),
  },
]

const avroFloats: avro.Schema[] = ['double', 'float', ['null', 'double']]

const ids: Case[] = [
  ...(
    [
      ['DOUBLE', 1152921504606847000],
      ['DOUBLE', -1152921504606847000],
      ['DOUBLE', 9007199254740992],
      ['FLOAT', 4702333951502204],
      ['FLOAT', 16777216],
    ] as const
  ).map(
    ([type, id]): Case => ({
      says: `an id of ${id} in a column of ${type} may be several, and is damaged`,
      files: {
        'signup.parquet': parquet({ name: 'user_id', data: [id, 5], type }),
        'users.parquet': parquetFile([
          { name: 'user_id', data: [id, id], type },
          { name: 'identity', data: ['ada', 'bob'], type: 'STRING' },
        ]),
      },
      check: ({ events, rejected }) => {
        expect(rejected).toEqual({ damaged_id: 3 })
        expect(events.map(({ distinct_id }) => distinct_id)).toEqual(['5'])
      },
    }),
  ),
  {
    says: 'ids that a double holds are read from it, also beside gaps',
    files: {
      'signup.parquet': parquet(
        { name: 'user_id', data: [4702333951502204, 9007199254740991], type: 'DOUBLE' },
        { name: 'session_id', data: [Number.NaN, 7], type: 'DOUBLE' },
      ),
    },
    check: ({ events }) =>
      expect(events.map(({ distinct_id }) => distinct_id)).toEqual(['4702333951502204', '9007199254740991']),
  },
  {
    says: 'a numeric identity that lost its digits joins nobody',
    files: {
      'users.parquet': parquetFile([
        { name: 'user_id', data: [1n, 2n, 3n], type: 'INT64' },
        { name: 'identity', data: [1152921504606847000, 1152921504606847000, 12], type: 'DOUBLE' },
      ]),
      'more/users.csv': csv('user_id,identity', '4,1.15292E+18'),
    },
    check: ({ events, rejected }) => {
      expect(rejected).toEqual({ damaged_id: 3 })
      expect(events.map(({ distinct_id }) => distinct_id)).toEqual(['12'])
    },
  },
  ...avroFloats.map(
    (type): Case => ({
      says: `an id of Avro that is ${JSON.stringify(type)} and too large is damaged`,
      files: { 'signup.avro': avroOf(type, typeof type === 'string' ? 1e17 : { double: 1e17 }, 'session_id') },
      check: ({ rejected }) => expect(rejected).toEqual({ damaged_id: 1 }),
    }),
  ),
]

const event = 'user_id,event_id,time,plan'
const oneEvent = csv(event, '1,1,2023-01-01 00:00:00,Pro')
const oneJson = `${JSON.stringify({ user_id: 1, event_id: 1, time: '2023-01-01 00:00:00', plan: 'Pro' })}\n`

function avroNamed(schema: avro.Schema, record: unknown): Buffer {
  return avroFile({
    schema,
    blocks: [{ rows: 1, data: avro.Type.forSchema(schema, { wrapUnions: true }).toBuffer(record) }],
  })
}

const byNamespace = { user_id: 1, time: '2023-01-01 00:00:00', kind: 'A' }
const timed: { name: string; type: avro.Schema }[] = [
  { name: 'user_id', type: 'long' },
  { name: 'time', type: 'string' },
]
const kind: avro.Schema = { type: 'enum', name: 'Kind', symbols: ['A', 'B'] }

const formats: Case[] = [
  ...['parq', 'pq', 'parquet', 'dat'].map(
    (extension): Case => ({
      says: `a Parquet file named .${extension} is read as one, and its table is named without that`,
      files: { [`signup.${extension}`]: parquet() },
      check: ({ events }) => expect(events.map((one) => one.event)).toEqual(['signup', 'signup']),
    }),
  ),
  ...['signup.dat', 'signup.txt', 'signup'].flatMap((name): Case[] =>
    [oneEvent, oneJson, `[${oneJson}]`, avroOf('string', 'Pro', 'plan')].map((content) => ({
      says: `${name} is told by its content (${String(content).slice(0, 8)})`,
      files: { [name]: content },
      check: ({ events }) => expect(events.map((one) => [one.event, one.properties.plan])).toEqual([['signup', 'Pro']]),
    })),
  ),
  {
    says: 'a file named .pq that does not begin like Parquet stops the run with what it is not',
    files: { 'signup.pq': oneEvent },
    stops: /does not begin like a Parquet file/,
  },
  {
    says: '_metadata and _common_metadata beside Parquet files are left out, and told',
    files: { 'signup/part-0.parquet': parquet(), 'signup/_metadata': parquet(), 'signup/_common_metadata': parquet() },
    check: ({ events, notices }) => {
      expect(events.map((one) => one.event)).toEqual(['signup', 'signup'])
      expect(notices).toEqual([
        'signup/_common_metadata is not a table by its name and is left out',
        'signup/_metadata is not a table by its name and is left out',
      ])
    },
  },
  {
    says: 'a column without a name, as pandas writes it, is left out and told',
    files: { 'signup.csv': csv(`,${event}`, '0,1,1,2023-01-01 00:00:00,Pro') },
    check: ({ events, notices }) => {
      expect(Object.keys(events[0]?.properties ?? {})).not.toContain('')
      expect(notices).toEqual([
        expect.stringContaining('signup.csv: a column without a name is taken for the numbers of rows'),
      ])
    },
  },
  ...['__index_level_0__', 'Unnamed: 0', 'Unnamed: 0.1'].map(
    (name): Case => ({
      says: `the column ${name} is left out and told, unless a rule speaks of it`,
      files: {
        'signup.parquet': parquet({ name, data: [0n, 1n], type: 'INT64' }),
        'buy.csv': csv(`${event},${name}`, '1,1,2023-01-01 00:00:00,Pro,0'),
      },
      mapping: { tables: { buy: { properties: { [name.toLowerCase()]: { name: 'row' } } } } },
      check: ({ events, notices }) => {
        expect(events.map(({ properties }) => [properties[name.toLowerCase()], properties.row])).toEqual([
          [undefined, '0'],
          [undefined, undefined],
          [undefined, undefined],
        ])
        expect(notices).toHaveLength(2)
      },
    }),
  ),
  ...(
    [
      ['NaN', undefined],
      ['-Infinity', undefined],
      ['[1, NaN, Infinity]', [1, null, null]],
      ['"NaN and \\"Infinity"', 'NaN and "Infinity'],
    ] as const
  ).map(
    ([value, expected]): Case => ({
      says: `a row of JSON with ${value} is read, without the numbers that are none`,
      files: {
        'signup.json': json(`"price": NaN, "value": ${value}`),
        'buy.json': `[${json(`"price": NaN, "value": ${value}`)}]`,
      },
      check: gives({ price: undefined, value: expected }, { price: undefined, value: expected }),
    }),
  ),
  {
    says: 'JSON that is none is still rejected, and not for a word in it',
    files: { 'signup.json': `${oneJson}{"user_id": 1, "price": NaN,, "x": Infinite}\n` },
    check: ({ rejected }) => expect(rejected).toEqual({ not_decodable: 1 }),
  },
  {
    says: 'keys with halves of characters or NUL are mended like values, also inside of objects',
    files: { 'signup.json': json('"a\\ud800": "b\\udc00", "c\\u0000": 1, "d": {"e\\ud800": "f\\u0000"}, "😀": "😀"') },
    check: gives({ 'a�': 'b�', 'c�': 1, d: { 'e�': 'f�' }, '😀': '😀' }),
  },
  {
    says: 'sessions of the one-time export are skipped as sessions are, unless the mapping makes events of them',
    files: {
      'events.json': ['session', 'Session', 'click']
        .map(
          (type, nth) => `${JSON.stringify({ id: '(1,7)', event_id: nth + 1, type, time: '2023-01-01 00:00:00' })}\n`,
        )
        .join(''),
    },
    check: ({ events, skipped }) => {
      expect(events.map((one) => one.event)).toEqual(['click'])
      expect(skipped).toEqual({ derived_by_posthog: 2 })
    },
  },
  {
    says: 'with an event of its own in the mapping a session of the one-time export is sent',
    files: {
      'events.json': `${JSON.stringify({ id: '(1,7)', event_id: 1, type: 'session', time: '2023-01-01 00:00:00' })}\n`,
    },
    mapping: { tables: { session: { event: 'Session' } } },
    check: ({ events }) => expect(events.map((one) => one.event)).toEqual(['Session']),
  },
  {
    says: 'a type of Avro is found by the namespace of the record that it is declared in',
    files: {
      'signup.avro': avroNamed(
        {
          type: 'record',
          name: 'Signup',
          namespace: 'com.example',
          fields: [...timed, { name: 'kind', type: kind }, { name: 'again', type: ['null', 'com.example.Kind'] }],
        },
        { ...byNamespace, again: { 'com.example.Kind': 'B' } },
      ),
    },
    check: gives({ kind: 'A', again: 'B' }),
  },
  {
    says: 'also where the name of the record has the namespace in it, or the type one of its own',
    files: {
      'signup.avro': avroNamed(
        {
          type: 'record',
          name: 'com.example.Signup',
          fields: [...timed, { name: 'kind', type: kind }, { name: 'again', type: 'com.example.Kind' }],
        },
        { ...byNamespace, again: 'B' },
      ),
      'buy.avro': avroNamed(
        {
          type: 'record',
          name: 'Buy',
          namespace: 'a',
          fields: [
            ...timed,
            { name: 'kind', type: { ...kind, namespace: 'b.c' } },
            { name: 'again', type: 'b.c.Kind' },
          ],
        },
        { ...byNamespace, again: 'B' },
      ),
    },
    check: gives({ kind: 'A', again: 'B' }, { kind: 'A', again: 'B' }),
  },
  {
    says: 'a record of Avro may hold itself',
    files: {
      'signup.avro': avroNamed(
        {
          type: 'record',
          name: 'Signup',
          namespace: 'com.example',
          fields: [...timed, { name: 'parent', type: ['null', 'Signup'] }],
        },
        {
          user_id: 1,
          time: '2023-01-01 00:00:00',
          parent: { 'com.example.Signup': { user_id: 2, time: 'x', parent: null } },
        },
      ),
    },
    check: gives({ parent: { user_id: 2, time: 'x', parent: null } }),
  },
  ...(
    [
      ['Hudi', 'signup/.hoodie/hoodie.properties', 'format\\("hudi"\\)'],
      ['Hudi', 'signup/dt=1/.hoodie_partition_metadata', 'format\\("hudi"\\)'],
      ['Hudi', 'signup/7b1c2f1e-1111-4222-8333-abcdefabcdef-0_0-1-0_20230501100000000.parquet', 'format\\("hudi"\\)'],
      ['Iceberg', 'signup/metadata/00001-abc.metadata.json', 'spark.table'],
      ['Iceberg', 'signup/metadata/snap-1-1-abc.avro', 'spark.table'],
      ['Delta', 'signup/_delta_log/00000000000000000000.json', 'format\\("delta"\\)'],
    ] as const
  ).map(
    ([lake, log, command]): Case => ({
      says: `a table of ${lake} stops the run (${log}), with the command that writes its present rows`,
      files: { [log]: '{}', 'signup/part-0.parquet': parquet() },
      stops: new RegExp(`holds an? ${lake} table[^]*${command}`),
    }),
  ),
]

test.each([...people, ...deleted, ...dates, ...types, ...ids, ...formats])(
  '$says',
  async ({ files, mapping, check, stops }) => {
    const outcome = outcomeOf(files, mapping)
    if (stops) {
      const stop = await outcome.catch((error: unknown) => error)
      expect(stop).toBeInstanceOf(OperatorError)
      expect(stop instanceof OperatorError && `${stop.message}\n${stop.hint}`).toMatch(stops)
      return
    }
    check?.(await outcome)
  },
)

test('whatever the order of rows, files and arrivals, each value of a person comes from the newest row that has one', async () => {
  const day = fc.integer({ min: 1, max: 9 }).map((number) => `2023-01-0${number} 00:00:00`)
  const row = fc.record({ joindate: day, plan: fc.constantFrom('', 'a'), team: fc.constantFrom('', 'a') })
  const given = fc.array(row, { minLength: 2, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(given, fc.array(fc.nat(), { minLength: 20, maxLength: 20 }), async (rows, keys) => {
      // Values tell which row they are of; last_modified grows with it.
      const lines = rows.map(({ joindate, plan, team }, nth) => {
        const own = (text: string) => (text === '' ? '' : `${text}${nth}`)
        return `${nth + 1},ada,${joindate},2023-02-0${nth + 1} 00:00:00,${own(plan)},${own(team)}`
      })
      const shuffled = <T>(all: readonly T[], from: number): T[] =>
        all
          .map((one, index) => ({ one, key: keys[(from + index) % keys.length] ?? 0 }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ one }) => one)
      const [first = '', ...others] = shuffled(lines, 0)
      const header = 'user_id,identity,joindate,last_modified,plan,team'
      const { events } = await outcomeOf({ 'users_0.csv': csv(header, first), 'users_1.csv': csv(header, ...others) })
      const newestOf = (column: number) => lines.map((line) => line.split(',')[column]).findLast((text) => text !== '')
      const person = personOf(shuffled(events, 7), 'ada')
      expect({ plan: person?.plan, team: person?.team, id: person?.heap_user_id }).toEqual({
        plan: newestOf(4),
        team: newestOf(5),
        id: String(rows.length),
      })
      const joined = rows.map(({ joindate }) => joindate).toSorted()[0]
      expect(person?.joindate).toBe(new Date(`${joined}Z`).toISOString())
    }),
    { numRuns: tries(300) },
  )
})

test('uuids of rows without event_id do not depend on what a format declares: they are those of version 1', async () => {
  const row = { user_id: '1', time: '2023-01-01 00:00:00', price: 19.5, count: 3, gift: true, tags: ['a', 1] }
  const text = Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  )
  const [typed] = (await outcomeOf({ 'signup.json': `${JSON.stringify(row)}\n` })).events
  const [plain] = (await outcomeOf({ 'signup.json': `${JSON.stringify(text)}\n` })).events
  expect(typed?.properties).toMatchObject({ price: 19.5, count: 3, gift: true, tags: ['a', 1] })
  expect(plain?.properties).toMatchObject({ price: '19.5', count: '3', gift: 'true', tags: '["a",1]' })
  expect(typed?.uuid).toBe(plain?.uuid)
  // Numbers of 32 bits had all digits of a double in their text, and NaN was text.
  const float = parquetFile([
    { name: 'user_id', data: [1n], type: 'INT64' },
    { name: 'time', data: ['2023-01-01 00:00:00'], type: 'STRING' },
    { name: 'price', data: [19.9], type: 'FLOAT' },
    { name: 'ratio', data: [Number.NaN], type: 'DOUBLE' },
  ])
  const [ofFloat] = (await outcomeOf({ 'signup.parquet': float })).events
  const before = csv('user_id,time,price,ratio', '1,2023-01-01 00:00:00,19.899999618530273,NaN')
  expect(ofFloat?.properties).toMatchObject({ price: 19.9 })
  expect(ofFloat?.uuid).toBe((await outcomeOf({ 'signup.csv': before })).events[0]?.uuid)
})

test('numbers of 32 bits in a list of Parquet have the digits that they know', async () => {
  const required = { repetition_type: 'REQUIRED' as const }
  const schema = [
    { name: 'root', num_children: 4 },
    { name: 'user_id', type: 'INT64' as const, ...required },
    { name: 'event_id', type: 'INT64' as const, ...required },
    { name: 'time', type: 'BYTE_ARRAY' as const, converted_type: 'UTF8' as const, ...required },
    { name: 'prices', repetition_type: 'OPTIONAL' as const, converted_type: 'LIST' as const, num_children: 1 },
    { name: 'list', repetition_type: 'REPEATED' as const, num_children: 1 },
    { name: 'element', type: 'FLOAT' as const, repetition_type: 'OPTIONAL' as const },
  ]
  const columns = [
    { name: 'user_id', data: [1n] },
    { name: 'event_id', data: [1n] },
    { name: 'time', data: ['2023-01-01 00:00:00'] },
    { name: 'prices', data: [[19.9, null, 3.4e38]] },
  ]
  const { events } = await outcomeOf({ 'signup.parquet': parquetFile(columns, { schema }) })
  expect(events[0]?.properties).toMatchObject({ prices: [19.9, null, 3.4e38] })
})

test('every number of 32 bits comes as the shortest text that is that number', async () => {
  const given = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(given, async (numbers) => {
      const file = parquetFile([
        { name: 'user_id', data: numbers.map(() => 1n), type: 'INT64' },
        { name: 'event_id', data: numbers.map((_, nth) => BigInt(nth + 1)), type: 'INT64' },
        { name: 'time', data: numbers.map(() => '2023-01-01 00:00:00'), type: 'STRING' },
        { name: 'price', data: numbers, type: 'FLOAT' },
      ])
      const { events } = await outcomeOf({ 'signup.parquet': file })
      for (const [nth, { properties }] of events.entries()) {
        const price = Number(properties.price)
        expect(Math.fround(price)).toBe(numbers[nth] === 0 ? price : numbers[nth])
        expect(price.toExponential().replace(/[-.]|e.*/g, '').length).toBeLessThanOrEqual(9)
      }
    }),
    { numRuns: tries(100) },
  )
})
