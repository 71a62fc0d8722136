import { decodeIdentities, encodeIdentities } from '@heapferry/migration'
import type { Values } from '@heapferry/domain'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  bytesOf,
  identifyRecords,
  identitiesOf,
  migrationsOf,
  resolve,
  type TestTable,
  userMigrations,
  users,
} from './identities-of.ts'
import { tries } from '../support/tries.ts'

test('an id ends as the identity of any id that migrations join it to, whichever way they lead', async () => {
  const identities = await identitiesOf(migrationsOf('1>2 2>3 4>2'), users([['3', 'ada@example.com']]))
  expect(people(identities, '1', '2', '3', '4')).toEqual(Array(4).fill('ada@example.com'))
  const fromTheStart = await identitiesOf(migrationsOf('1>2 2>3'), users([['1', 'ada@example.com']]))
  expect(people(fromTheStart, '1', '2', '3')).toEqual(Array(3).fill('ada@example.com'))
})

test('without an identity an id ends as the id where all migrations end', async () => {
  expect(people(await identitiesOf(migrationsOf('9>3 3>5 7>3')), '9', '3', '5', '7')).toEqual(['5', '5', '5', '5'])
})

test('where migrations end at several ids, or run in circles, it is the smallest of them as a number', async () => {
  expect(people(await identitiesOf(migrationsOf('1>10 1>9')), '1', '9', '10')).toEqual(['9', '9', '9'])
  expect(people(await identitiesOf(migrationsOf('9>10 10>11 11>9')), '9', '10', '11')).toEqual(['9', '9', '9'])
  expect(people(await identitiesOf(migrationsOf('1>2 2>1 2>-5 1>-6')), '1', '2', '-5')).toEqual(['-6', '-6', '-6'])
})

test('every id but one is the alias of exactly one row, and the one that is left is joined by its own row', async () => {
  const identities = await identitiesOf(migrationsOf('1>2 2>3 4>3 1>3'), users([['2', 'ada']]))
  const joins = [
    ['1', '2'],
    ['2', '3'],
    ['4', '3'],
    ['1', '3'],
  ].map(([from = '', to = '']) => identities.joinedBy(from, to))
  const aliases = joins.map((join) => (join.kind === 'joins' ? join.alias : join.kind))
  expect(aliases.toSorted()).toEqual(['1', '3', '4', 'nothing'])
})

test('a migration joins its later id where the earlier one is the person', async () => {
  const identities = await identitiesOf(migrationsOf('1>2'), users([['1', 'ada']]))
  expect(identities.joinedBy('1', '2')).toEqual({ kind: 'joins', alias: '2', distinctId: 'ada' })
})

test('an id from which a migration leads is told apart from those that Heap kept', async () => {
  const identities = await identitiesOf(migrationsOf('1>2 2>3'), users([['3', 'ada']]))
  expect(['1', '2', '3'].map((id) => identities.person(id))).toMatchObject([
    { migratedAway: true },
    { migratedAway: true },
    { migratedAway: false },
  ])
})

test('an id that no migration names is not looked up: its row says all', async () => {
  const identities = await identitiesOf(migrationsOf('1>2'), users([['3', 'ada']]))
  expect(identities.person('3')).toBeUndefined()
})

test('a migration to the same id, or from an id that PostHog never merges, joins nobody', async () => {
  const identities = await identitiesOf(migrationsOf('1>1 0>1 0>2 x>2 3>4'), users([['1', 'ada']]))
  expect(identities.person('1')).toBeUndefined()
  expect(identities.joinedBy('1', '1')).toEqual({ kind: 'nothing' })
})

test('an identity that PostHog refuses is as none: the migrations still join', async () => {
  const refused: Values[] = [
    ['1', 'anonymous'],
    ['3', 'x'.repeat(201)],
  ]
  expect(people(await identitiesOf(migrationsOf('1>2 2>3'), users(refused)), '1', '2', '3')).toEqual(['3', '3', '3'])
})

test('identify records count as users rows do, and say the same in different spelling', async () => {
  const identities = await identitiesOf(
    migrationsOf('1>2'),
    identifyRecords([['1', ' ada ']]),
    users([
      ['0002', 'ada'],
      ['2', ''],
    ]),
  )
  expect(people(identities, '1', '2')).toEqual(['ada', 'ada'])
})

test('where migrations join two identities nothing is merged, and the reason names ids only', async () => {
  const tables = [
    migrationsOf('1>2 2>3 4>3 5>6'),
    users([
      ['1', 'ada'],
      ['3', 'bob'],
      ['6', 'cid'],
    ]),
  ]
  const identities = await identitiesOf(...tables)
  const detail = 'migrations join 4 user ids that have 2 identities: 1, 3 and others'
  expect(identities.joinedBy('1', '2')).toEqual({ kind: 'conflict', detail })
  expect(identities.joinedBy('4', '3')).toEqual({ kind: 'conflict', detail })
  expect(people(identities, '1', '2', '3', '4', '5', '6')).toEqual(['ada', '2', 'bob', '4', 'cid', 'cid'])
  expect((await resolve(tables)).summary.conflicts).toEqual({
    total: 1,
    first: [{ ids: 4, identities: 2, some: ['1', '3'] }],
  })
})

test('an id whose own rows disagree belongs to nobody, also where no migration names it', async () => {
  const identities = await identitiesOf(
    migrationsOf('1>2'),
    users([
      ['1', 'ada'],
      ['1', 'bob'],
      ['7', 'ada'],
    ]),
    identifyRecords([['7', 'eve']]),
  )
  expect(identities.person('7')).toEqual({ kind: 'conflict', detail: 'user id 7 has 2 identities' })
  expect(identities.person('1')).toEqual({
    kind: 'conflict',
    detail: 'migrations join 2 user ids that have 2 identities: 1 and others',
  })
  expect(people(identities, '2')).toEqual(['2'])
})

test('an identity that reads like the id of somebody else is not used, for PostHog would join the two', async () => {
  const identities = await identitiesOf(
    migrationsOf('1>2 8>9'),
    users([
      ['5', '2'],
      ['6', '007'],
      ['9', '5'],
    ]),
  )
  expect(people(identities, '1', '2', '5', '8', '9')).toEqual(['2', '2', '5', '9', '9'])
  expect(identities.person('6')).toBeUndefined()
})

test('an identity that reads like an id of the same person is that id, and needs no alias', async () => {
  const tables = [migrationsOf('1>2 2>3'), users([['3', '1']])]
  const identities = await identitiesOf(...tables)
  expect(people(identities, '1', '2', '3')).toEqual(['1', '1', '1'])
  expect(identities.joinedBy('1', '2')).toEqual({ kind: 'nothing' })
  expect(identities.joinedBy('2', '3')).toEqual({ kind: 'joins', alias: '2', distinctId: '1' })
})

test('of two dumps the later row of a user counts, whatever the order of the files', async () => {
  const first = users(
    [
      ['1', 'ada'],
      ['3', 'cid'],
    ],
    999,
  )
  const second = users([['1', null]], 1000)
  for (const tables of [
    [first, second],
    [second, first],
  ]) {
    const identities = await identitiesOf(migrationsOf('1>2'), ...tables)
    expect(people(identities, '1', '2')).toEqual(['2', '2'])
    expect(identities.isSuperseded('1', 999)).toBe(true)
    expect(identities.isSuperseded('1', 1000)).toBe(false)
    expect(identities.isSuperseded('3', 999)).toBe(false)
  }
})

test('an export of a single dump, and tables without dumps, supersede nothing', async () => {
  const identities = await identitiesOf(users([['1', 'ada']], 7), users([['2', 'bob']]), migrationsOf('1>3 2>4'))
  expect(people(identities, '1', '3', '2', '4')).toEqual(['ada', 'ada', 'bob', 'bob'])
  expect(identities.isSuperseded('1', 7)).toBe(false)
})

test('ids of the whole range of signed 64-bit integers are kept to the last digit', async () => {
  const all = [
    '9223372036854775807',
    '9223372036854775806',
    '-9223372036854775807',
    '9007199254740993',
    '-9007199254740993',
    '4294967296',
    '-4294967296',
    '-1',
    '2147483648',
  ]
  const identities = await identitiesOf(userMigrations(all.map((id, index) => [id, String(1000 + index)])))
  expect(people(identities, ...all)).toEqual(all.map((_, index) => String(1000 + index)))
  const turned = await identitiesOf(userMigrations(all.map((id, index) => [String(1000 + index), id])))
  expect(people(turned, ...all)).toEqual(all)
  const names = all.map((_, index) => `name ${index}`)
  const named = users(all.map((id, index) => [id, names[index] ?? null]))
  const joined = await identitiesOf(userMigrations(all.map((id, index) => [String(1000 + index), id])), named)
  expect(people(joined, ...all)).toEqual(names)
})

test('a chain of many migrations and a person of many ids are resolved as any other', async () => {
  // More than a recursion would bear.
  const length = tries(300_000)
  const chain: Values[] = Array.from({ length }, (_, index) => [scattered(index), scattered(index + 1)])
  const star: Values[] = Array.from({ length }, (_, index) => [`-${scattered(index)}`, '5000000000'])
  const { summary } = await resolve([userMigrations(chain), userMigrations(star)])
  expect(summary).toMatchObject({ people: 2, components: 2, largestComponent: length + 1, migrations: 2 * length })
})

test('the same rows give the same bytes, whatever the order of rows and files', async () => {
  const id = fc.integer({ min: -3, max: 9 }).map(String)
  const name = fc.constantFrom('ada', 'bob', '3', null)
  const rows = fc.record({
    migrations: fc.array(fc.tuple(id, id), { maxLength: 12 }),
    users: fc.array(fc.tuple(id, name), { maxLength: 8 }),
    newer: fc.array(fc.tuple(id, name), { maxLength: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(rows, fc.array(fc.nat(), { minLength: 24, maxLength: 24 }), async (given, keys) => {
      const shuffled = <T>(all: readonly T[]): T[] =>
        all
          .map((one, index) => ({ one, key: keys[index] ?? 0 }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ one }) => one)
      const tables = (turn: <T>(all: readonly T[]) => readonly T[]): TestTable[] => [
        ...turn([userMigrations(turn(given.migrations)), users(turn(given.users), 1), users(turn(given.newer), 2)]),
      ]
      expect(await bytesOf(tables(shuffled))).toEqual(await bytesOf(tables((all) => all)))
    }),
  )
})

test('the summary counts people, ids and what migrations join', async () => {
  const { summary } = await resolve([
    migrationsOf('1>2 2>3 2>3 4>5 6>6'),
    users([
      ['3', 'ada'],
      ['9', 'bob'],
      ['10', 'bob'],
      ['11', null],
    ]),
  ])
  expect(summary).toEqual({
    people: 3,
    ids: 7,
    migrations: 4,
    components: 2,
    largestComponent: 3,
    conflicts: { total: 0, first: [] },
    crowded: [],
  })
})

test('an identity that more ids have than one person is likely to is listed with some of them, the most crowded first', async () => {
  const rows = [
    { identity: 'ada', first: 100, count: 21 },
    { identity: 'desk', first: 200, count: 30 },
    { identity: 'bob', first: 300, count: 20 },
  ].flatMap(({ identity, first, count }) =>
    Array.from({ length: count }, (_, nth): [string, string] => [String(first + nth), identity]),
  )
  const { summary } = await resolve([users(rows)])
  expect(summary.crowded).toEqual([
    { ids: 30, some: ['200', '201', '202', '203', '204'] },
    { ids: 21, some: ['100', '101', '102', '103', '104'] },
  ])
})

test('identities are read where they lie in a larger buffer', async () => {
  const bytes = await bytesOf([migrationsOf('1>2'), users([['2', 'ädä@example.com']])])
  for (const offset of [1, 8]) {
    const pool = new Uint8Array(bytes.length + offset)
    pool.set(bytes, offset)
    expect(people(decodeIdentities(pool.subarray(offset)), '1')).toEqual(['ädä@example.com'])
  }
})

test('a file that is not one of identities, or is cut off, is refused', async () => {
  const bytes = await bytesOf([migrationsOf('1>2'), users([['2', 'ada']])])
  expect(() => decodeIdentities(new TextEncoder().encode('["1","ada@example.com"]\n'))).toThrow(
    /not one that this version/,
  )
  expect(() => decodeIdentities(new Uint8Array(0))).toThrow(/not one that this version/)
  for (let length = 0; length < bytes.length; length += 8)
    expect(() => decodeIdentities(bytes.subarray(0, length))).toThrow(/not one that this version/)
})

test('an export without people resolves to nothing', async () => {
  const resolved = await resolve([])
  expect(resolved.summary).toMatchObject({ people: 0, ids: 0, components: 0, largestComponent: 0 })
  expect(decodeIdentities(Buffer.concat(encodeIdentities(resolved))).person('1')).toBeUndefined()
})

function people(identities: Awaited<ReturnType<typeof identitiesOf>>, ...ids: string[]): (string | undefined)[] {
  return ids.map((id) => {
    const resolution = identities.person(id)
    return resolution?.kind === 'person' ? resolution.distinctId : resolution?.kind
  })
}

/** Ids in no order, and no two the same. */
function scattered(index: number): string {
  return String(((index + 1) * 48_271) % 2_147_483_647)
}
