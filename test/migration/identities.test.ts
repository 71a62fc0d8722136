import { decodeIdentities, encodeIdentities, resolveIdentities } from '@heapferry/migration'
import fc from 'fast-check'
import { expect, test } from 'vitest'

test('an id ends as the identity at the end of its chain of migrations', () => {
  expect(
    resolved(
      [
        ['1', '2'],
        ['2', '3'],
      ],
      [['3', 'ada@example.com']],
    ),
  ).toEqual({
    1: 'ada@example.com',
    2: 'ada@example.com',
  })
})

test('without an identity, an id ends as the last user id of its chain', () => {
  expect(
    resolved(
      [
        ['1', '2'],
        ['2', '3'],
      ],
      [],
    ),
  ).toEqual({ 1: '3', 2: '3' })
})

test('an identity that only the id itself has is kept', () => {
  expect(resolved([['1', '2']], [['1', 'ada']])).toEqual({ 1: 'ada' })
})

test('a chain through two identities would join two people: it is a conflict that names no person', () => {
  const identities = resolveIdentities({
    migrations: new Map([['1', '2']]),
    identities: new Map([
      ['1', 'ada'],
      ['2', 'bob'],
    ]),
  })
  expect(identities.get('1')).toEqual({ kind: 'conflict', detail: 'the migrations of 1 lead through 2 identities' })
})

test('all ids of a cycle end as the same one of them, and so do those that lead into it', () => {
  expect(
    resolved(
      [
        ['9', '10'],
        ['10', '11'],
        ['11', '9'],
        ['5', '11'],
      ],
      [],
    ),
  ).toEqual({ 5: '9', 9: '9', 10: '9', 11: '9' })
})

test('any graph is resolved, in the same way whatever the order of its rows, and survives its file', () => {
  const id = fc.integer({ min: 1, max: 12 }).map(String)
  const edges = fc.uniqueArray(fc.tuple(id, id), { selector: ([from]) => from, maxLength: 12 })
  const names = fc.uniqueArray(fc.tuple(id, fc.constantFrom('ada', 'bob', 'a "quoted"\nname')), {
    selector: ([of]) => of,
  })
  fc.assert(
    fc.property(edges, names, (migrations, identities) => {
      const facts = { migrations: new Map(migrations), identities: new Map(identities) }
      const forward = resolveIdentities(facts)
      const text = encodeIdentities(forward)
      expect(encodeIdentities(resolveIdentities({ ...facts, migrations: new Map(migrations.toReversed()) }))).toBe(text)
      expect([...forward.keys()].toSorted()).toEqual(migrations.map(([from]) => from).toSorted())
      const loaded = decodeIdentities(text)
      for (const [from, resolution] of forward) expect(loaded.resolve(from)).toEqual(resolution)
    }),
  )
})

function resolved(migrations: [string, string][], identities: [string, string][]) {
  const all = resolveIdentities({ migrations: new Map(migrations), identities: new Map(identities) })
  return Object.fromEntries(
    [...all].map(([id, resolution]) => [id, resolution.kind === 'person' ? resolution.distinctId : 'conflict']),
  )
}
