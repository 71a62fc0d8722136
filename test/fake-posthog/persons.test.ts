import { createPersons, startFakePostHog } from '@heapferry/fake-posthog'
import { request } from 'undici'
import { expect, test } from 'vitest'

type Properties = Record<string, unknown>

/** Persons after some events: `[event, distinct_id, properties, second of their time]`. */
function after(...events: [event: string, distinctId: string, properties?: Properties, second?: number][]) {
  const persons = createPersons('events')
  for (const [event, distinct_id, properties = {}, second = 0] of events)
    persons.add({ uuid: '', event, distinct_id, timestamp: at(second), properties })
  return persons
}

function at(second: number): string {
  return new Date(Date.UTC(2023, 0, 1, 0, 0, second)).toISOString()
}

const identify = (identity: string, id: string, properties: Properties = {}, second = 0) =>
  ['$identify', identity, { $anon_distinct_id: id, ...properties }, second] as ['$identify', string, Properties, number]
const alias = (into: string, id: string) =>
  ['$create_alias', into, { alias: id }] as ['$create_alias', string, Properties]

test('every event makes a person of a distinct_id that none has had, and who is only seen is not identified', () => {
  const persons = after(['$pageview', '1'], ['$set', '2'], ['$identify', '3'], ['Bought', '1'])
  expect(persons.counts().persons).toBe(3)
  expect(['1', '2', '3'].map((id) => persons.personOf(id)?.isIdentified)).toEqual([false, false, false])
  expect(persons.personOf('4')).toBeUndefined()
})

test('an event without a person profile makes nobody a person', () => {
  const persons = after(['$pageview', '1', { $process_person_profile: false }], ['$pageview', '2'])
  expect([persons.personOf('1'), persons.counts().persons]).toEqual([undefined, 1])
})

test.each([
  ['of which neither was seen', []],
  ['of which the alias was seen', [['$pageview', '1']]],
  ['of which the identity was seen', [['$set', 'ada']]],
] as [string, ['$pageview' | '$set', string][]][])(
  'ids %s become one identified person, and nobody is lost',
  (_, seen) => {
    const persons = after(...seen, identify('ada', '1'))
    expect(persons.personOf('1')).toBe(persons.personOf('ada'))
    expect(persons.personOf('ada')?.isIdentified).toBe(true)
    expect(persons.counts()).toMatchObject({ persons: 1, merges: 0 })
  },
)

test('two persons become one: all distinct_ids move, the values of the one merged into win, and the birth is the earlier one', () => {
  const persons = after(
    ['$set', '1', { $set: { plan: 'free', city: 'Bonn' } }, 1],
    ['$set', 'ada', { $set: { plan: 'pro' } }, 2],
    identify('ada', '1', {}, 3),
  )
  const ada = persons.personOf('1')
  expect(ada).toBe(persons.personOf('ada'))
  expect(ada).toMatchObject({ createdAt: at(1), properties: { plan: 'pro', city: 'Bonn' } })
  expect(persons.counts()).toMatchObject({ persons: 1, merges: 1 })
})

test('whoever is identified is not merged away, whichever event asks for it', () => {
  for (const asked of [identify('bob', '1'), alias('bob', '1')]) {
    const persons = after(identify('ada', '1'), identify('bob', '2'), asked)
    expect(persons.personOf('bob')).not.toBe(persons.personOf('1'))
    expect(persons.counts()).toMatchObject({ persons: 2, merges: 0, refusedMerges: { already_identified: 1 } })
  }
})

test('the wrong direction works for the first id of a person and is refused from the second on', () => {
  const persons = after(['$pageview', '1'], ['$pageview', '2'], alias('1', 'ada'), alias('2', 'ada'))
  expect(persons.personOf('1')).toBe(persons.personOf('ada'))
  expect(persons.personOf('2')).not.toBe(persons.personOf('ada'))
  expect(persons.counts().refusedMerges.already_identified).toBe(1)
})

test('$merge_dangerously merges who is identified', () => {
  const persons = after(identify('ada', '1'), identify('bob', '2'), ['$merge_dangerously', 'bob', { alias: '1' }])
  expect(persons.personOf('bob')).toBe(persons.personOf('ada'))
})

test('merging who is one already, or an id with itself, does nothing', () => {
  const persons = after(identify('ada', '1'), identify('ada', '1'), alias('ada', '1'), alias('7', '7'))
  expect(persons.counts()).toMatchObject({ persons: 2, merges: 0, refusedMerges: { already_identified: 0 } })
  expect(persons.personOf('7')?.isIdentified).toBe(false)
})

test.each(['anonymous', 'GUEST', '"undefined"', "'null'", '0', 'NaN', '[object Object]', ' '])(
  '%j is merged with nobody, on whichever side it stands',
  (illegal) => {
    const persons = after(identify('ada', illegal), identify(illegal, '1'))
    expect(persons.personOf('ada')?.isIdentified).toBe(false)
    expect(persons.personOf('1')).toBeUndefined()
    expect(persons.counts().refusedMerges.illegal_distinct_id).toBe(2)
  },
)

test.each(['nan', 'NONE', 'ada', '00', '-1'])('%j is an id as any other', (legal) => {
  expect(after(identify(legal, '1')).counts().refusedMerges.illegal_distinct_id).toBe(0)
})

test('an alias that is no text is thrown away with its event', () => {
  const persons = after(['$create_alias', 'ada', { alias: 1 }], ['$create_alias', 'ada', {}])
  expect(persons.personOf('ada')).toBeUndefined()
  expect(persons.counts().refusedMerges.alias_is_no_text).toBe(2)
})

test('$set overwrites, $set_once does not, and the time of neither matters', () => {
  const persons = after(
    ['$pageview', '1', { $set: { plan: 'pro' }, $set_once: { first: 'a' } }, 9],
    ['$set', '1', { $set: { plan: 'free' }, $set_once: { first: 'b', plan: 'x', other: 'c' } }, 1],
  )
  expect(persons.personOf('1')?.properties).toEqual({ plan: 'free', first: 'a', other: 'c' })
})

test('a person is found after many merges', () => {
  const ids = Array.from({ length: 50_000 }, (_, index) => `id ${index}`)
  const persons = after(
    ...ids.map((id): ['$pageview', string] => ['$pageview', id]),
    ...ids.slice(1).map((id, index): [string, string, Properties] => ['$merge_dangerously', id, { alias: ids[index] }]),
  )
  expect(new Set(ids.map((id) => persons.personOf(id))).size).toBe(1)
  expect(persons.counts()).toMatchObject({ persons: 1, merges: ids.length - 1 })
})

test('an event that arrives again changes no person, and an unknown token makes none', async () => {
  const posthog = await startFakePostHog({ apiKey: 'phc_right', keep: 'events' })
  try {
    const send = async (apiKey: string, plan: string) => {
      const event = {
        uuid: '018a0000-0000-7000-8000-000000000001',
        event: '$set',
        distinct_id: '1',
        timestamp: at(0),
        properties: { $set: { plan } },
      }
      const body = JSON.stringify({ api_key: apiKey, batch: [event] })
      await (await request(`${posthog.url}/batch/`, { method: 'POST', body })).body.dump()
    }
    await send('phc_wrong', 'none')
    expect(posthog.persons.counts().persons).toBe(0)
    await send('phc_right', 'first')
    await send('phc_right', 'second')
    expect(posthog.persons.personOf('1')?.properties).toEqual({ plan: 'first' })
  } finally {
    await posthog.stop()
  }
})

test('the stand-in can be told to make no persons', async () => {
  const posthog = await startFakePostHog({ persons: false })
  try {
    const event = { event: 'Bought', distinct_id: '1', timestamp: at(0) }
    const body = JSON.stringify({ api_key: 'phc_test', batch: [event] })
    await (await request(`${posthog.url}/batch/`, { method: 'POST', body })).body.dump()
    expect(posthog.stored.size).toBe(1)
    expect(posthog.persons.counts().persons).toBe(0)
    const counts = await (await request(`${posthog.url}/_fake/counts`)).body.json()
    expect(counts).not.toHaveProperty('persons')
  } finally {
    await posthog.stop()
  }
})
