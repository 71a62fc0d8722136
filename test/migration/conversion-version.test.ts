import { conversionVersion, goneOnWith, type Identities, OperatorError, Run } from '@heapferry/domain'
import { convertersOf, noIdentities } from '@heapferry/migration'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { runOf } from '../support/chunk.ts'
import { tries } from '../support/tries.ts'

test('a run whose rows an earlier version made other events of is refused by whoever would convert some more of them', () => {
  const { conversion: _, ...earlier } = runOf('earlier')
  const run = Run.parse(earlier)
  expect(run.conversion).toBeLessThan(conversionVersion)
  expect(goneOnWith).not.toContain(run.conversion)
  expect(() => convertersOf(run, noIdentities, null)).toThrow(OperatorError)
  expect(() => convertersOf(run, noIdentities, null)).toThrow('begun by a version of heapferry that makes other events')
  expect(convertersOf(runOf('now'), noIdentities, null)).toBeTypeOf('function')
})

// As version 2 printed them, before conversion 3.
test.each([
  ['7376682748375158', '4702333951502204', '01856fc7-2400-7bea-b008-1961bccb02e1'],
  ['7', '4702333951502204', '01856fc7-2400-7eac-9d86-2f48dcd21ff2'],
  ['7', '1', '01856fc7-2400-7381-a195-1c353222d8de'],
])('a run that conversion 2 began gives session %s of user %s the id of before', (sessionId, userId, id) => {
  expect(sessionOf({ userId, sessionId }, noIdentities, 2)).toBe(id)
})

test('a run that conversion 2 began asks nobody whose a session is', () => {
  const joined = identitiesOf(() => 'a@example.com')
  fc.assert(
    fc.property(anyId, anyId, (userId, sessionId) => {
      const row = { userId, sessionId }
      expect(sessionOf(row, joined, 2)).toBe(sessionOf(row, noIdentities, 2))
    }),
    { numRuns: tries(1000) },
  )
})

test('a session has one id before and after Heap identified its user', () => {
  fc.assert(
    fc.property(anyId, anyId, anyId, (anonymous, identified, sessionId) => {
      const person = identitiesOf((id) => (id === anonymous || id === identified ? 'a@example.com' : undefined))
      expect(sessionOf({ userId: anonymous, sessionId }, person)).toBe(
        sessionOf({ userId: identified, sessionId }, person),
      )
    }),
    { numRuns: tries(1000) },
  )
})

test('where the export does not say who is who, a session whose id was drawn has one id all the same', () => {
  fc.assert(
    fc.property(anyId, anyId, fc.integer({ min: 2 ** 40, max: 2 ** 53 - 1 }), (anonymous, identified, drawn) => {
      const sessionId = String(drawn)
      const before = sessionOf({ userId: anonymous, sessionId }, noIdentities)
      expect(sessionOf({ userId: identified, sessionId }, noIdentities)).toBe(before)
    }),
    { numRuns: tries(1000) },
  )
})

test('sessions that are numbered for each user are as many as the people who had them', () => {
  const person = identitiesOf((id) => (id === '1' || id === '2' ? 'a@example.com' : undefined))
  const ids = ['1', '2', '3', '4'].flatMap((userId) =>
    ['1', '2', String(2 ** 40 - 1)].map((sessionId) => sessionOf({ userId, sessionId }, person)),
  )
  expect(new Set(ids).size).toBe(9)
})

test('an id that two people lay claim to is a person of its own', () => {
  const conflict: Identities = { ...noIdentities, person: () => ({ kind: 'conflict', detail: 'two' }) }
  const row = { userId: '5', sessionId: '1' }
  expect(sessionOf(row, conflict)).toBe(sessionOf(row, noIdentities))
})

const anyId = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 2 ** 53 - 1 })).map(String)

function identitiesOf(person: (id: string) => string | undefined): Identities {
  return {
    ...noIdentities,
    person(userId) {
      const distinctId = person(userId)
      return distinctId === undefined ? undefined : { kind: 'person', distinctId, migratedAway: false }
    },
  }
}

function sessionOf(
  { userId, sessionId }: { userId: string; sessionId: string },
  identities: Identities,
  conversion = conversionVersion,
): unknown {
  const columns = ['event_id', 'user_id', 'session_id', 'time']
  const convert = convertersOf(
    runOf('sessions', { conversion }),
    identities,
    null,
  )({ kind: 'event', name: 'a' }, columns)
  const end = convert(['1', userId, sessionId, '2023-01-02 03:04:05'])
  if (end.kind !== 'event') throw new Error(`an event is expected, not ${end.kind}`)
  return end.event.properties['$session_id']
}
