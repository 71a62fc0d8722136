import { compileConverter, compileIdentifyConverter } from '@heapferry/conversion'
import type { Conversion, Identities, PostHogEvent } from '@heapferry/domain'
import { conversionVersion, defaultMapping, RunId } from '@heapferry/domain'
import { createPersons } from '@heapferry/fake-posthog'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { identifyRecords, identitiesOf, peopleOf, type TestTable, userMigrations, users } from './identities-of.ts'
import { tries } from '../support/tries.ts'

type Pair = readonly [string, string]
type Claim = readonly [id: string, identity: string | null]

interface World {
  migrations: readonly Pair[]
  /** Of a table of users without dumps. */
  users: readonly Claim[]
  /** From the first dump to the last. */
  dumps: readonly (readonly Claim[])[]
  identifyRecords: readonly Claim[]
}

const int64Max = '9223372036854775807'
const ids = ['1', '2', '3', '4', '5', '6', '-7', '4294967296', '9007199254740993', int64Max, `-${int64Max}`]
const illegal = ['anonymous', 'NULL', '"undefined"', 'x'.repeat(201)]

const id = fc.constantFrom(...ids)
// Some identities read like the id of a user, and some PostHog takes for nobody.
const identity = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('ada', ' ada ', 'bob', 'cid') },
  { weight: 3, arbitrary: fc.constantFrom('1', '2', '-7', '05', int64Max) },
  { weight: 1, arbitrary: fc.constantFrom(...illegal, '', null) },
)
const claims = (maxLength: number) => fc.array(fc.tuple(id, fc.option(identity, { freq: 3 })), { maxLength })
const chain = fc.uniqueArray(id, { maxLength: 6 }).map((all) => all.slice(1).map((to, at): Pair => [all[at] ?? '', to]))
const migrations = fc
  .array(
    fc.oneof(
      fc.tuple(id, id).map((pair): Pair[] => [pair]),
      chain,
      // A circle.
      chain.map((pairs): Pair[] => [...pairs, [pairs.at(-1)?.[1] ?? '1', pairs[0]?.[0] ?? '1']]),
      // Many to one, and one to many.
      fc.tuple(id, fc.array(id, { maxLength: 5 })).map(([to, all]) => all.map((from): Pair => [from, to])),
      fc.tuple(id, fc.array(id, { maxLength: 3 })).map(([from, all]) => all.map((to): Pair => [from, to])),
      // What exporters write for no id.
      id.map((to): Pair[] => [['0', to]]),
    ),
    { maxLength: 3 },
  )
  .map((groups) => groups.flat())
const world: fc.Arbitrary<World> = fc.record({
  migrations,
  users: claims(5),
  dumps: fc.oneof(fc.constant([]), fc.array(claims(3), { maxLength: 3 })),
  identifyRecords: claims(3),
})
/** Where in time each event arrives. */
const order = fc.array(fc.nat(), { minLength: 60, maxLength: 60 })

test('in whatever order events arrive, the ids of one person end in one person, two people never do, and no merge is refused', async () => {
  await fc.assert(
    fc.asyncProperty(world, order, async (given, keys) => {
      const truth = whoIsWho(given)
      fc.pre(truth.isDecidable)
      const tables = tablesOf(given)
      const identities = await identitiesOf(...tables)
      const events = tables.flatMap((table) => converted(table, identities).flatMap(eventOf))
      const visits = ids.map((distinct_id) => ({ ...visit, distinct_id }))
      const delivered = [...events, ...visits]
        .map((event, index) => ({ event, key: keys[index % keys.length] ?? 0 }))
        .toSorted((a, b) => a.key - b.key)

      const persons = createPersons('ids')
      for (const { event } of delivered) persons.add(event)
      const found = ids.map((one) => persons.personOf(one))
      const expected = ids.map((one) => truth.personOf(one))
      expect(found.map((person) => found.indexOf(person))).toEqual(expected.map((person) => expected.indexOf(person)))
      for (const [index, person] of expected.entries())
        if (person.identity !== null) expect(persons.personOf(person.identity)).toBe(found[index])
      expect(persons.counts().refusedMerges).toEqual({
        illegal_distinct_id: 0,
        already_identified: 0,
        alias_is_no_text: 0,
      })
    }),
    { numRuns: tries(1000) },
  )
})

test('whose an id is is told as PostHog has it in the end, of every id', async () => {
  await fc.assert(
    fc.asyncProperty(world, async (given) => {
      const tables = tablesOf(given)
      const identities = await identitiesOf(...tables)
      const people = await peopleOf(...tables)
      const persons = createPersons('ids')
      for (const event of tables.flatMap((table) => converted(table, identities).flatMap(eventOf))) persons.add(event)
      for (const distinct_id of ids) persons.add({ ...visit, distinct_id })

      const found = ids.map((one) => persons.personOf(one))
      const said = ids.map((one) => people.personOf(one))
      expect(said.map((one) => said.indexOf(one))).toEqual(found.map((person) => found.indexOf(person)))
      for (const [index, one] of ids.entries()) {
        expect(people.personOf(said[index] ?? '')).toBe(said[index])
        expect(persons.personOf(people.distinctIdOf(one))).toBe(found[index])
        expect(people.isKnown(one)).toBe(identities.isKnown(one))
      }
    }),
    { numRuns: tries(1000) },
  )
})

test('no reason that is given for a row names an identity', async () => {
  await fc.assert(
    fc.asyncProperty(world, async (given) => {
      const tables = tablesOf(given)
      const identities = await identitiesOf(...tables)
      for (const conversion of tables.flatMap((table) => converted(table, identities)))
        if (conversion.kind === 'reject' && conversion.reason === 'identity_conflict')
          expect(conversion.detail).not.toMatch(/ada|bob|cid|05/)
    }),
  )
})

const visit = { event: '$pageview', uuid: '', timestamp: '2023-01-02T03:04:05.000Z', properties: {} }

function tablesOf({ migrations: pairs, users: rows, dumps, identifyRecords: records }: World): TestTable[] {
  return [
    userMigrations(pairs),
    dated(users(rows)),
    ...dumps.map((dump, number) => dated(users(dump, number))),
    identifyRecords(records),
  ]
}

/** Users without an identity need a date. */
function dated({ table, columns, rows }: TestTable): TestTable {
  return { table, columns: [...columns, 'joindate'], rows: rows.map((values) => [...values, '2023-01-02 03:04:05']) }
}

function converted({ table, columns, rows }: TestTable, identities: Identities): Conversion[] {
  const context = {
    run: RunId.parse('merge'),
    conversion: conversionVersion,
    mapping: defaultMapping,
    startedAtMs: Date.UTC(2024, 0, 1),
    includeRecent: false,
    identities,
    hash: null,
  }
  const compile = table.kind === 'identify' ? compileIdentifyConverter : compileConverter
  const convert = compile(table, columns, context)
  return rows.map((values) => convert(values))
}

function eventOf(conversion: Conversion): PostHogEvent[] {
  return conversion.kind === 'event' ? [conversion.event] : []
}

/** The same question answered naively: sets of strings, joined until nothing changes. */
function whoIsWho({ migrations: pairs, users: rows, dumps, identifyRecords: records }: World) {
  const newest = new Map<string, number>()
  for (const [dump, all] of dumps.entries()) for (const [one] of all) newest.set(one, dump)
  const valid = dumps.flatMap((all, dump) => all.filter(([one]) => newest.get(one) === dump))
  const said = [...rows, ...records, ...valid].flatMap(([one, text]) =>
    legalIdentity(text).map((name): Pair => [one, name]),
  )
  const own = (one: string) => new Set(said.filter(([of]) => of === one).map(([, name]) => name))

  const real = pairs.filter(([from, to]) => from !== '0' && from !== to)
  const component = (one: string): string[] => {
    const members = new Set([one])
    for (let size = 0; size < members.size; ) {
      size = members.size
      for (const [from, to] of real) if (members.has(from) || members.has(to)) members.add(from).add(to)
    }
    return [...members]
  }
  /** The identity that an id stands for, or null; `apart` where migrations join several. */
  const standsFor = (one: string): { apart: boolean; identity: string | null } => {
    const all = new Set(component(one).flatMap((member) => [...own(member)]))
    const [only = null] = all.size > 1 ? (own(one).size === 1 ? own(one) : []) : all
    return { apart: all.size > 1, identity: only }
  }
  const everSaid = [...rows, ...records, ...dumps.flat()].filter(([, text]) => legalIdentity(text).length > 0)
  const known = new Set([...real.flat(), ...everSaid.map(([one]) => one)])
  const isUsable = (name: string) => !known.has(name) || standsFor(name).identity === name
  const persons = new Map<string, { identity: string | null }>()
  const personNamed = (key: string, name: string | null) => {
    const person = persons.get(key) ?? { identity: name }
    persons.set(key, person)
    return person
  }
  return {
    // Ids that only an anonymous row or events have are not looked for among the identities.
    isDecidable: said.every(([, name]) => !ids.includes(name) || known.has(name)),
    personOf(one: string): { identity: string | null } {
      const { apart, identity: name } = standsFor(one)
      if (name !== null && isUsable(name)) return personNamed(`identity ${name}`, name)
      return personNamed(apart ? `id ${one}` : `component ${component(one).toSorted().join()}`, null)
    },
  }
}

function legalIdentity(text: string | null): string[] {
  const trimmed = text?.trim() ?? ''
  return trimmed === '' || illegal.includes(trimmed) ? [] : [trimmed]
}
