import { decodeIdentities, encodeIdentities, resolveIdentities } from '@heapferry/migration'
import fc from 'fast-check'
import { expect, test } from 'vitest'

type Pairs = readonly (readonly [string, string])[]

test('an id ends as the identity at the end of its chain of migrations', () => {
  expect(resolved('1>2 2>3', [['3', 'ada@example.com']])).toEqual({ 1: 'ada@example.com', 2: 'ada@example.com' })
})

test('without an identity, an id ends as the last user id of its chain', () => {
  expect(resolved('1>2 2>3', [])).toEqual({ 1: '3', 2: '3' })
})

test('an identity that only the id itself has is kept', () => {
  expect(resolved('1>2', [['1', 'ada']])).toEqual({ 1: 'ada' })
})

test('a chain to two identities would join two people: it is a conflict that names no person', () => {
  const resolution = resolvedFrom('1>2', [
    ['1', 'ada'],
    ['2', 'bob'],
  ]).get('1')
  expect(resolution).toEqual({ kind: 'conflict', detail: 'the migrations of 1 lead to 2 identities' })
})

test('an id that is led to two people is a conflict, and so is one that leads to it', () => {
  expect(
    resolved('1>2 1>3 9>1', [
      ['2', 'ada'],
      ['3', 'bob'],
    ]),
  ).toEqual({ 1: 'conflict', 9: 'conflict' })
})

test('an id that is led to two ids of one person ends as that person', () => {
  expect(
    resolved('4>2 4>5', [
      ['2', 'ada'],
      ['5', 'ada'],
    ]),
  ).toEqual({ 4: 'ada' })
})

test('all ids of a cycle end as the same one of them, and so do those that lead into it', () => {
  expect(resolved('9>10 10>11 11>9 5>11', [])).toEqual({ 5: '9', 9: '9', 10: '9', 11: '9' })
})

test('any graph is resolved, in the same way whatever the order of its ids, and survives its file', () => {
  const id = fc.integer({ min: 1, max: 12 }).map(String)
  const edges = fc.array(fc.tuple(id, id), { maxLength: 14 })
  const names = fc.uniqueArray(fc.tuple(id, fc.constantFrom('ada', 'bob', 'a "quoted"\nname')), {
    selector: ([of]) => of,
  })
  fc.assert(
    fc.property(edges, names, (pairs, identities) => {
      const migrations = grouped(pairs)
      const forward = resolveIdentities({ migrations, identities: new Map(identities) })
      const backward = resolveIdentities({
        migrations: new Map([...migrations].toReversed()),
        identities: new Map(identities.toReversed()),
      })
      const text = encodeIdentities(forward)
      expect(encodeIdentities(backward)).toBe(text)
      expect([...forward.keys()]).toEqual([...migrations.keys()])
      const loaded = decodeIdentities(text)
      for (const [from, resolution] of forward) expect(loaded.resolve(from)).toEqual(resolution)
    }),
  )
})

function resolved(migrations: string, identities: Pairs) {
  const all = [...resolvedFrom(migrations, identities)]
  return Object.fromEntries(all.map(([id, end]) => [id, end.kind === 'person' ? end.distinctId : 'conflict']))
}

function resolvedFrom(migrations: string, identities: Pairs) {
  const pairs = migrations
    .split(' ')
    .map((pair): [string, string] => [pair.split('>')[0] ?? '', pair.split('>')[1] ?? ''])
  return resolveIdentities({ migrations: grouped(pairs), identities: new Map(identities) })
}

function grouped(pairs: Pairs): Map<string, string[]> {
  const all = new Map<string, string[]>()
  for (const [from, to] of pairs) all.set(from, [...(all.get(from) ?? []), to])
  return all
}
