import { compileConverter, identityNaming, textHash } from '@heapferry/conversion'
import {
  type Columns,
  conversionVersion,
  type Conversion,
  hashes,
  type Identities,
  Mapping,
  RunId,
  type Table,
  tableOf,
} from '@heapferry/domain'
import { noIdentities } from '@heapferry/migration'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../support/tries.ts'

// Lower case and without signs: whatever is made of it (a host, a file name), it is still to be found.
const secret = 's3cr3tzqx'
const hashSalt = 'a salt for this test'

const secretColumns = [
  'email',
  'phone',
  '_email',
  'plan.name',
  '$plan',
  'timestamp',
  'title',
  'ip',
  'browser_ip',
  'library',
  'platform',
  'browser',
  'browser_version',
  'device',
  'phone_model',
  'country',
  'city',
  'referrer',
  'user_agent',
  'screen_dimensions',
  'type',
  'target_text',
  'view_controller',
  'session_time',
  'domain',
  'path',
  'query',
  'hash',
  'landing_page',
  'landing_page_query',
  'landing_page_hash',
  'joindate',
  'last_modified',
  'lastseen',
  'identity_time',
  'initial_referrer',
  'initial_landing_page',
  'initial_platform',
  'initial_email',
  'initial_path',
  'initial_plan.name',
  'object',
]

// What a cell may hold so that it is taken for what its column is about.
const shapes = [
  (text: string) => text,
  (text: string) => `${text}@example.com`,
  (text: string) => `https://${text}.example.com/${text}?${text}=1#${text}`,
  (text: string) => `/${text}/`,
  (text: string) => `?token=${text}`,
  (text: string) => `${text} 12.1`,
  (text: string) => ` ${text} `,
  (text: string) => `www.${text}.com/a`,
]
const secretCell = fc.constantFrom(...shapes).map((shape) => shape(secret))

const rule = fc.constantFrom('drop', 'hash', { as: 'hash', name: 'renamed' } as const)
const time = '2023-01-02 03:04:05'

const tables: Table[] = [
  tableOf('pageviews', []),
  tableOf('signup', ['user_id', 'time']),
  tableOf('users', []),
  { kind: 'raw_events', name: 'export' },
]

/** A row whose secret columns, some of them twice, hold the secret, and a mapping that lets nobody see them. */
const scene = fc
  .record({
    table: fc.constantFrom(...tables),
    hidden: fc.uniqueArray(fc.tuple(fc.constantFrom(...secretColumns), rule), {
      selector: ([column]) => column,
      minLength: 1,
    }),
    cells: fc.array(secretCell, { minLength: 2 * secretColumns.length, maxLength: 2 * secretColumns.length }),
    twice: fc.boolean(),
    inTable: fc.boolean(),
    faults: fc.constantFrom({}, { user_id: '1e15' }, { time: 'x', joindate: null }, { user_id: null }),
    base: fc.constantFrom({}, { domain: 'example.com', path: '/a' }, { library: 'ios' }, { type: 'Sign Up' }),
    identity: fc.constantFrom(null, 'alice'),
  })
  .map(({ table, hidden, cells, twice, inTable, faults, base, identity }) => {
    // One name can be given to one column.
    const rules = hidden.map(([column, how], nth) => [column, typeof how === 'object' && nth > 0 ? 'hash' : how])
    const properties = Object.fromEntries(rules)
    const mapping = Mapping.parse(inTable ? { tables: { [table.name]: { properties } } } : { properties })
    const names = hidden.map(([column]) => column)
    const planted = [...names, ...(twice ? names : [])].map((column, nth): [string, string] => [
      column,
      cells[nth] ?? secret,
    ])
    const rest = { user_id: '1', event_id: '2', time, joindate: time, identity, ...base, ...faults }
    const others = Object.entries(rest).filter(([column]) => !names.includes(column))
    return { table, mapping, cells: [...others, ...planted] }
  })

test('whatever column holds a secret, dropped or hashed it is in no event and in no detail', () => {
  let events = 0
  fc.assert(
    fc.property(scene, ({ table, mapping, cells }) => {
      const conversion = convert(table, mapping, cells)
      if (conversion.kind === 'event') events++
      expect(JSON.stringify(conversion).toLowerCase()).not.toContain(secret)
    }),
    { numRuns: tries(2000) },
  )
  expect(events).toBeGreaterThan(300)
})

test('and with no rule it would be found', () => {
  let found = 0
  fc.assert(
    fc.property(scene, ({ table, cells }) => {
      const text = JSON.stringify(convert(table, Mapping.parse({}), cells)).toLowerCase()
      if (text.includes(secret)) found++
    }),
    { numRuns: tries(500) },
  )
  expect(found).toBeGreaterThan(100)
})

test('no rule changes uuid, time or distinct_id of an event, nor whether it is one, nor its name but that of the one-time export', () => {
  const withoutTypes = scene.filter(({ mapping, table }) => {
    const properties = mapping.tables[table.name]?.properties ?? mapping.properties
    return table.kind !== 'raw_events' || !('type' in properties || 'object' in properties)
  })
  fc.assert(
    fc.property(withoutTypes, ({ table, mapping, cells }) => {
      // With the salt, or without it, are uuids of their own.
      const plainly = Mapping.parse(hashes(mapping) ? { properties: { no_such_column: 'hash' } } : {})
      const [plain, mapped] = [plainly, mapping].map((one) => convert(table, one, cells))
      expect(keyOf(mapped)).toEqual(keyOf(plain))
    }),
    { numRuns: tries(1000) },
  )
})

test('where a mapping hashes, the uuid of a row without event_id takes the salt to make, and that of others does not', () => {
  const mapping = Mapping.parse({ properties: { email: 'hash' } })
  for (const [table, numbered] of [
    [tableOf('users', []), false],
    [tableOf('signup', ['user_id', 'time']), false],
    [tableOf('signup', ['user_id', 'time']), true],
  ] as const) {
    const cells: [string, string][] = [...(numbered ? [['event_id', '2'] as [string, string]] : []), ['user_id', '1']]
    const row: [string, string][] = [...cells, ['time', time], ['joindate', time], ['email', 'ada@example.com']]
    const uuids = [
      convert(table, Mapping.parse({}), row),
      convert(table, mapping, row),
      convert(table, mapping, row, noIdentities, 'another salt'),
    ].map((conversion) => (conversion.kind === 'event' ? conversion.event.uuid : conversion))
    expect(new Set(uuids).size).toBe(numbered ? 1 : 3)
  }
})

test('with identity: hash no row shows an identity, and all rows of a person name them alike', () => {
  const mapping = Mapping.parse({ identity: 'hash', properties: { email: 'hash' } })
  const distinctIdOf = identityNaming({ mapping, hash: textHash(hashSalt) })
  const identity = `${secret}@example.com`
  const joined: Identities = {
    ...noIdentities,
    joinedBy: (alias) => ({ kind: 'joins', alias, distinctId: distinctIdOf(identity) }),
  }
  const base: [string, string][] = [
    ['user_id', '1'],
    ['identity', identity],
    ['time', time],
    ['joindate', time],
    ['email', identity],
  ]
  const rows: [Table, [string, string][]][] = [
    [tableOf('users', []), base],
    [{ kind: 'identify', name: 'export' }, base],
    [{ kind: 'raw_events', name: 'export' }, [...base, ['type', 'Sign Up']]],
    [
      tableOf('user_migrations', []),
      [
        ['from_user_id', '1'],
        ['to_user_id', '2'],
        ['time', time],
      ],
    ],
  ]
  const ids = rows.map(([table, cells]) => {
    const conversion = convert(table, mapping, cells, joined)
    expect(JSON.stringify(conversion)).not.toContain(secret)
    return conversion.kind === 'event' ? conversion.event.distinct_id : null
  })
  const hash = distinctIdOf(identity)
  expect(hash).toMatch(/^[0-9a-f]{64}$/)
  expect(ids).toEqual([hash, hash, '1', hash])
})

test('a hash is HMAC-SHA-256, as other tools make it', () => {
  // printf '%s' alice@example.com | openssl dgst -sha256 -hmac 'a salt for this test'
  const { properties } = Object(
    convert(tableOf('users', []), Mapping.parse({ properties: { email: 'hash' } }), [
      ['user_id', '1'],
      ['joindate', time],
      ['email', 'alice@example.com'],
    ]),
  ).event
  expect(properties.$set.email).toBe('058b7f0b9b04b2b58ee51f3360183cfad0ae5db44558709fae11aa70737a20fe')
})

test('a mapping that hashes is not compiled without a salt', () => {
  const mapping = Mapping.parse({ properties: { email: 'hash' } })
  expect(() => convert(tableOf('users', []), mapping, [['user_id', '1']], noIdentities, null)).toThrow(/no salt/)
})

function convert(
  table: Table,
  mapping: Mapping,
  cells: readonly (readonly [string, string | null])[],
  identities: Identities = noIdentities,
  salt: string | null = hashes(mapping) ? hashSalt : null,
): Conversion {
  const columns: Columns = cells.map(([column]) => column)
  const hash = salt === null ? null : textHash(salt)
  const context = {
    mapping,
    identities,
    hash,
    run: RunId.parse('secrets'),
    conversion: conversionVersion,
    includeRecent: false,
  }
  const converter = compileConverter(table, columns, { ...context, startedAtMs: Date.UTC(2024, 0, 1) })
  return converter(cells.map(([, value]) => value))
}

function keyOf(conversion: Conversion | undefined) {
  if (conversion?.kind !== 'event') return conversion?.kind
  const { uuid, event, distinct_id, timestamp } = conversion.event
  return { uuid, event, distinct_id, timestamp }
}
