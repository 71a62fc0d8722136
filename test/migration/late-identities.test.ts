import type { Identities } from '@heapferry/domain'
import { lateIdentities } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { identitiesOf, migrationsOf, users } from './identities-of.ts'

/** 1 → 2 → ada, 7 → 8, and 9 that two lay claim to. */
const resolved: Promise<Identities> = identitiesOf(
  migrationsOf('1>2 7>8'),
  users([
    ['2', 'ada'],
    ['9', 'bob'],
    ['9', 'eve'],
  ]),
)

test.each([
  ['a row that was resolved joins as it did', '1', '2', { kind: 'joins', alias: '1', distinctId: 'ada' }],
  [
    'an id that nobody knew is joined to the person of the other',
    '55',
    '1',
    { kind: 'joins', alias: '55', distinctId: 'ada' },
  ],
  ['in both directions', '1', '55', { kind: 'joins', alias: '55', distinctId: 'ada' }],
  ['two ids that nobody knew are joined to each other', '55', '56', { kind: 'joins', alias: '55', distinctId: '56' }],
  ['an id and itself are one', '55', '55', { kind: 'nothing' }],
  ['two people stay two', '1', '7', { kind: 'conflict', detail: 'user ids 1 and 7 are of two people already' }],
] as const)('%s', async (_, from, to, join) => {
  expect(lateIdentities(await resolved).joinedBy(from, to)).toEqual(join)
})

test('an id that several lay claim to stays apart', async () => {
  expect(lateIdentities(await resolved).joinedBy('55', '9').kind).toBe('conflict')
})
