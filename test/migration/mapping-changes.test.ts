import { Mapping } from '@heapferry/domain'
import { changeText, mappingChanges, mappingChangeText, mappingFingerprint } from '@heapferry/migration'
import { expect, test } from 'vitest'

test('a fingerprint is that of what a mapping says, whatever the order of its keys', () => {
  const one = Mapping.parse({ persons: 'skip', tables: { a: { event: 'A', static: { x: 1, y: 2 } } } })
  const same = Mapping.parse({ tables: { a: { static: { y: 2, x: 1 }, event: 'A' } }, persons: 'skip' })
  expect(mappingFingerprint(one)).toMatch(/^[0-9a-f]{12}$/)
  expect(mappingFingerprint(same)).toBe(mappingFingerprint(one))
  expect(mappingFingerprint(Mapping.parse({}))).not.toBe(mappingFingerprint(one))
})

test('every difference is named by its key, and one that came or went by what is in it', () => {
  expect(
    texts(
      { persons: 'set', properties: { email: 'hash' }, tables: { gone: { event: 'Gone' }, a: { event: 'A' } } },
      {
        persons: 'skip',
        properties: { email: { name: 'mail', as: 'hash' }, phone: 'drop' },
        filter: { tables: { exclude: ['test_*'] }, where: { env: { equals: 'production' } } },
        tables: { a: { event: 'B', properties: { plan: { name: 'tier' } } } },
      },
    ),
  ).toEqual([
    'persons: set → skip',
    'properties.email: hash → {"name":"mail","as":"hash"}',
    'properties.phone: (nothing) → drop',
    'filter.tables.exclude: (nothing) → ["test_*"]',
    'filter.where.env: (nothing) → {"equals":"production"}',
    'tables.gone.event: Gone → (nothing)',
    'tables.a.event: A → B',
    'tables.a.properties.plan: (nothing) → {"name":"tier"}',
  ])
  expect(texts({ persons: 'set' }, { persons: 'set', csv: {} })).toEqual([])
})

test('it is told what PostHog makes of the difference', () => {
  const same = 'Uuids, names, times and distinct_ids stay the same'
  expect(told({ properties: { email: 'drop' } })).toContain(same)
  expect(told({ properties: { email: 'hash' } })).toMatch(/without event_id get other uuids.*keeps both/)
  expect(told({ tables: { users: { properties: { email: { name: 'mail', as: 'hash' } } } } })).toContain('other uuids')
  expect(told({ properties: { email: 'hash', phone: 'hash' } }, { properties: { email: 'hash' } })).toContain(same)
  expect(told({ persons: 'skip', filter: { to: '2020-01-01' }, static: { a: 1 } })).toContain(same)
  expect(told({ tables: { a: { event: 'A' } } })).toMatch(/Events may get other names\. .*keeps both/)
  expect(told({ properties: { type: 'drop' } })).toMatch(/other names/)
  expect(told({ autocapture: true })).toMatch(/other names/)
  expect(told({ identity: 'hash' })).toMatch(/other distinct_ids/)
  expect(told({ csv: { delimiter: ';' }, tables: { a: { columns: ['b'] } } })).toMatch(/other uuids/)
})

function told(after: object, before: object = {}): string {
  return mappingChangeText(mappingChanges(Mapping.parse(before), Mapping.parse(after)))
}

function texts(before: object, after: object): string[] {
  return mappingChanges(Mapping.parse(before), Mapping.parse(after)).map(changeText)
}
