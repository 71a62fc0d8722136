import { compileUserRows } from '@heapferry/conversion'
import { defaultMapping, type Values } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { identitiesOf, type TestTable } from './identities-of.ts'

const columns = ['user_id', 'identity', 'last_modified', 'plan']

test('a later dump counts before last_modified, and of its own rows the newest', async () => {
  const old = ['1', 'ada', '2024-01-01 00:00:00', 'Old']
  const newest = ['1', 'ada', '2023-02-01 00:00:00', 'Pro']
  const older = ['1', 'ada', '2023-01-01 00:00:00', 'Free']
  const identities = await identitiesOf(usersOf([old], 7), usersOf([newest, older], 8))
  expect(identities.isSuperseded('1', 7)).toBe(true)
  expect(identities.standing('1', keyOf(newest))).toEqual({ kind: 'counts', isNewest: true, elsewhere: new Set() })
  expect(identities.standing('1', keyOf(older))).toEqual({ kind: 'older', joins: true })
})

test('who has one row and one id has no standing, nor has an id that several identities claim', async () => {
  const rows = [
    ['1', 'ada', '', ''],
    ['2', 'bob', '2023-01-01 00:00:00', ''],
    ['2', 'eve', '2024-01-01 00:00:00', ''],
  ]
  const identities = await identitiesOf(usersOf(rows))
  for (const row of rows) expect(identities.standing(row[0] ?? '', keyOf(row))).toBeUndefined()
})

test('the same row twice counts twice: PostHog keeps one event of both', async () => {
  const row = ['1', 'ada', '2023-01-01 00:00:00', 'Pro']
  const identities = await identitiesOf(usersOf([row]), usersOf([row]))
  expect(identities.standing('1', keyOf(row))).toMatchObject({ kind: 'counts', isNewest: true })
})

function usersOf(rows: readonly Values[], dump?: number): TestTable {
  return { table: { kind: 'users', name: 'users', ...(dump !== undefined && { dump }) }, columns, rows }
}

function keyOf(values: Values): () => number {
  const { key } = compileUserRows({ kind: 'users', name: 'users' }, columns, defaultMapping)
  return () => key(values)
}
