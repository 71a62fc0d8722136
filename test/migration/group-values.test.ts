import { compileConverter } from '@heapferry/conversion'
import { conversionVersion, Mapping, RunId, type Table, type Values } from '@heapferry/domain'
import { decodeIdentities, encodeIdentities } from '@heapferry/migration'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { tries } from '../support/tries.ts'
import { resolve, type TestTable } from './identities-of.ts'

const mapping = Mapping.parse({ groups: { company: { key: 'account', properties: ['plan', 'mrr'] } } })
const columns = ['user_id', 'last_modified', 'joindate', 'account', 'plan', 'mrr', '_deleted']
const table: Table = { kind: 'groups', name: 'group_company', group: 'company', of: 'users' }

const cell = (...texts: string[]) => fc.constantFrom(null, ...texts)
const row = fc.record({
  user: fc.integer({ min: 1, max: 9 }),
  day: fc.option(fc.integer({ min: 1, max: 4 }), { nil: null }),
  joined: fc.integer({ min: 1, max: 4 }),
  account: cell('A', 'B'),
  plan: cell('Free', 'Pro'),
  mrr: cell('1', '2'),
  isDeleted: fc.boolean().map((is) => (is ? 'true' : null)),
})
type Row = typeof row extends fc.Arbitrary<infer T> ? T : never

test('each property of a group is sent with one row, of the newest that have it, whatever the order of rows and files', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 8 }), async (rows, shuffle) => {
      const sent = await sentOf([rows])
      const shuffled = rows.map((one, index) => ({ one, at: shuffle[index] ?? 0 })).toSorted((a, b) => a.at - b.at)
      const halves = [shuffled.slice(0, 3), shuffled.slice(3)].map((half) => half.map(({ one }) => one))
      expect(sorted(await sentOf(halves))).toEqual(sorted(sent))

      for (const account of ['A', 'B']) {
        for (const property of ['plan', 'mrr'] as const) {
          const own = rows.filter((one) => one.isDeleted === null && one.account === account && one[property] !== null)
          const newestDay = Math.max(...own.map(timeOf))
          const newest = own.filter((one) => timeOf(one) === newestDay).map((one) => one[property])
          const values = sent.filter((one) => one.key === account).flatMap((one) => one.set[property] ?? [])
          // Rows that are the same give the same event.
          expect(new Set(values).size).toBe(own.length === 0 ? 0 : 1)
          for (const value of values) expect(newest).toContain(value)
        }
      }
    }),
    { numRuns: tries(300) },
  )
})

test('of two rows of one time the same one counts, whichever comes first', async () => {
  for (let day = 1; day < 9; day++) {
    const rows: Values[] = ['Free', 'Pro', 'Team'].map((plan, user) => {
      return [String(user + 1), `2024-01-0${day} 00:00:00`, null, 'A', plan, null, null]
    })
    const sent = await sentFrom([{ table, columns, rows }])
    expect(sent).toHaveLength(1)
    expect(await sentFrom([{ table, columns, rows: rows.toReversed() }])).toEqual(sent)
  }
})

test('of thousands of groups each gets its properties', async () => {
  const rows: Values[] = Array.from({ length: 5000 }, (_, user) => {
    return [String(user + 1), null, null, String(user % 2500), user < 2500 ? null : `Plan ${user}`, '1', null]
  })
  const sent = await sentFrom([{ table, columns, rows }])
  expect(new Set(sent.flatMap(({ key, set }) => Object.keys(set).map((name) => `${key} ${name}`))).size).toBe(5000)
  expect(sent.flatMap(({ set }) => Object.keys(set))).toHaveLength(5000)
})

test('rows of an older dump, and rows that a filter leaves out, give nothing to groups', async () => {
  const dumped = (dump: number, rows: Values[]): TestTable[] => [
    { table: { kind: 'users', name: 'users', dump }, columns, rows },
    { table: { ...table, dump }, columns, rows },
  ]
  const older: Values = ['1', '2024-01-05 00:00:00', null, 'A', 'Old', null, null]
  const newer: Values = ['1', '2024-01-01 00:00:00', null, 'A', 'New', null, null]
  expect(await sentFrom([...dumped(1, [older]), ...dumped(2, [newer])])).toEqual([{ key: 'A', set: { plan: 'New' } }])

  const filtered = { ...mapping, tables: { users: { where: { plan: { not_equals: 'Old' } } } } }
  const rows = [older, newer]
  expect(await sentFrom([{ table, columns, rows }], filtered)).toEqual([{ key: 'A', set: { plan: 'New' } }])
})

test('people without groups are kept in the very bytes that they were kept in before there were groups', async () => {
  const people: TestTable = {
    table: { kind: 'users', name: 'users' },
    columns: ['user_id', 'identity'],
    rows: [['1', 'a']],
  }
  const parts = encodeIdentities(await resolve([people]))
  expect(parts.slice(-2).map(({ length }) => length)).toEqual([0, 0])
})

function timeOf({ day, joined }: Row): number {
  return day ?? joined - 10_000
}

function valuesOf({ user, day, joined, account, plan, mrr, isDeleted }: Row): Values {
  const modified = day === null ? null : `2024-01-0${day} 00:00:00`
  return [String(user), modified, `1990-01-0${joined} 00:00:00`.replace('1990', '2015'), account, plan, mrr, isDeleted]
}

interface Sent {
  key: string
  set: Record<string, string>
}

async function sentOf(files: readonly (readonly Row[])[]): Promise<Sent[]> {
  return sentFrom(files.map((rows) => ({ table, columns, rows: rows.map(valuesOf) })))
}

const GroupIdentify = z.object({ $group_key: z.string(), $group_set: z.record(z.string(), z.string()) })

/** What workers send of the rows, who know of each other by the file of identities alone. */
async function sentFrom(tables: readonly TestTable[], said: Mapping = mapping): Promise<Sent[]> {
  const resolved = await resolve(tables, { mapping: said, hashSalt: null })
  const identities = decodeIdentities(Buffer.concat(encodeIdentities(resolved)))
  return tables.flatMap(({ table: one, columns: names, rows }) => {
    if (one.kind !== 'groups') return []
    const context = {
      run: RunId.parse('groups'),
      conversion: conversionVersion,
      mapping: said,
      startedAtMs: Date.UTC(2025, 0, 1),
      identities,
      hash: null,
    }
    const convert = compileConverter(one, names, { ...context, includeRecent: false })
    return rows.flatMap((values) => {
      const conversion = convert(values)
      if (conversion.kind !== 'event') return []
      const { $group_key, $group_set } = GroupIdentify.parse(conversion.event.properties)
      return [{ key: $group_key, set: $group_set }]
    })
  })
}

function sorted(sent: readonly Sent[]): string[] {
  return sent.map((one) => JSON.stringify(one)).toSorted()
}
