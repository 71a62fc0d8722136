import { readdirSync, readFileSync } from 'node:fs'
import { columnMeanings } from '@heapferry/conversion'
import { defaultMapping, Mapping, Table, tableOf } from '@heapferry/domain'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'

const folder = new URL('../golden/conversion/', import.meta.url)

const Event = z.object({ kind: z.literal('event'), event: z.object({ properties: z.record(z.string(), z.unknown()) }) })
const Case = z.object({
  table: z.union([z.string(), Table]),
  row: z.record(z.string(), z.string().nullable()).optional(),
  cells: z.array(z.tuple([z.string(), z.string().nullable()])).optional(),
  mapping: Mapping.default(defaultMapping),
  identities: z.unknown().optional(),
  expected: z.unknown(),
})

// What every event has, whatever its row says.
const always = [
  '$geoip_disable',
  '$ip',
  'historical_migration',
  'analytics_source',
  '$import_job_id',
  '$process_person_profile',
  '$group_type',
]

describe('what the golden rows become was foretold for the columns that they fill:', () => {
  const cases = readdirSync(folder).flatMap((name) => {
    const golden = Case.parse(JSON.parse(readFileSync(new URL(name, folder), 'utf8')))
    const expected = Event.safeParse(golden.expected)
    // Whose columns are heapferry's own, and no question to anybody.
    if (typeof golden.table !== 'string' && golden.table.kind === 'first_touch') return []
    return expected.success ? [{ name, golden, properties: expected.data.event.properties }] : []
  })

  test.each(cases)('$name', ({ golden, properties }) => {
    const cells = golden.cells ?? Object.entries(golden.row ?? {})
    const columns = cells.map(([column]) => column)
    const table = typeof golden.table === 'string' ? tableOf(golden.table, columns) : golden.table
    const ofTables = Object.values(golden.mapping.tables).flatMap((one) => Object.keys(one.static ?? {}))
    const foretold = new Set([
      ...always,
      ...Object.keys(golden.mapping.static),
      // The name of a table of all clicks says it, too.
      ...(golden.mapping.autocapture ? ['$event_type'] : []),
      ...ofTables.flatMap((name) => [name, `$set.${name}`]),
      ...columnMeanings(table, columns, golden.mapping)
        .filter((_, index) => (cells[index]?.[1] ?? '') !== '')
        .flatMap(({ becomes }) => becomes),
    ])
    // Current values of an id that was migrated away are set once.
    for (const name of Array.from(foretold)) if (golden.identities) foretold.add(name.replace('$set.', '$set_once.'))
    // What a row got from its session is of no column of its own, and named.
    const derived = z.array(z.string()).optional().parse(properties['heap_derived'])
    for (const name of derived === undefined ? [] : ['heap_derived', ...derived]) foretold.add(name)
    // A row that came directly has its referrer from an empty cell.
    const appearing = namesOf(properties).filter((name) => !foretold.has(name) && properties[name] !== '$direct')
    expect(appearing).toEqual([])
  })
})

test('a column of several meanings has all of them, in the order of setting', () => {
  const columns = ['user_id', 'event_id', 'session_id', 'time', 'library', 'platform', 'browser', 'screen_dimensions']
  expect(meaningsOf('pageviews', columns)).toEqual({
    user_id: ['distinct_id', '$session_id'],
    event_id: ['heap_event_id'],
    session_id: ['heap_session_id', '$session_id'],
    time: ['timestamp'],
    library: ['$lib'],
    platform: ['$os', '$os_version', 'heap_platform'],
    browser: ['$browser', '$browser_version', 'heap_browser'],
    screen_dimensions: ['screen_dimensions', '$screen_width', '$screen_height'],
  })
})

test('columns that mean something together have what they mean alone, and what they mean with the others', () => {
  const columns = ['user_id', 'time', 'library', 'domain', 'query', 'view_controller', 'ip', 'browser_ip']
  expect(meaningsOf('a_click', columns)).toMatchObject({
    domain: ['$current_url', '$host'],
    query: ['query', ...campaign, '$current_url'],
    view_controller: ['$screen_name', 'view_controller'],
    ip: ['$ip'],
    browser_ip: ['$ip', 'browser_ip'],
  })
})

// What posthog-js makes of the parameters of an address.
const campaign = (
  'utm_source utm_medium utm_campaign utm_content utm_term gad_source mc_cid gclid gclsrc dclid gbraid wbraid fbclid ' +
  'msclkid twclid li_fat_id igshid ttclid rdt_cid epik qclid sccid oppref bfcid irclid _kx'
).split(' ')

test('columns of a person say whether PostHog keeps the first value or the last', () => {
  const columns = ['user_id', 'identity', 'joindate', 'plan', 'initial_platform']
  expect(meaningsOf('users', columns)).toMatchObject({
    user_id: ['$anon_distinct_id', '$set.heap_user_id', 'distinct_id'],
    joindate: ['timestamp', '$set.joindate'],
    plan: ['$set.plan'],
    initial_platform: ['$set_once.$initial_os', '$set_once.$initial_os_version', '$set_once.heap_initial_platform'],
  })
  expect(meaningsOf('users', columns, Mapping.parse({ persons: 'skip' }))).toMatchObject({ plan: [] })
})

test('columns without a meaning, and all of a table without one, become nothing', () => {
  const columns = ['user_id', 'time', 'session_time', '_fivetran_synced', '_sdc_batched_at', 'price']
  expect(meaningsOf('a_click', columns)).toMatchObject({
    session_time: [],
    _fivetran_synced: [],
    _sdc_batched_at: [],
    price: ['price'],
  })
  expect(meaningsOf('sessions', ['user_id', 'time'])).toEqual({ user_id: [], time: [] })
  expect(meaningsOf('_sync_info', ['event_table_name'])).toEqual({ event_table_name: [] })
})

test('names that PostHog or another column has taken are shown as they will be', () => {
  const columns = ['user_id', 'time', 'cart.total', 'cart_total', '$plan', 'timestamp', '__proto__']
  expect(meaningsOf('a_click', columns)).toMatchObject({
    'cart.total': ['cart_total_2'],
    cart_total: ['cart_total'],
    $plan: ['heap_$plan'],
    timestamp: ['heap_timestamp'],
    ['__proto__']: ['heap___proto__'],
  })
})

test('a column that the mapping speaks of becomes what that says, whatever the mapping filters', () => {
  const columns = ['user_id', 'time', 'email', 'phone', 'platform', 'plan', 'price', 'membership']
  const mapping = Mapping.parse({
    anonymous: 'personless',
    filter: { tables: { exclude: ['a_click'] }, to: '2011-01-01', where: { plan: { equals: 'x' } } },
    properties: {
      email: 'drop',
      phone: 'hash',
      platform: { name: 'system' },
      price: 'number',
      membership: { name: 'plan' },
    },
    tables: { a_click: { where: { price: { exists: false } } } },
  })
  expect(meaningsOf('a_click', columns, mapping)).toMatchObject({
    email: [],
    phone: ['phone'],
    platform: ['system'],
    plan: ['plan_2'],
    price: ['price'],
    membership: ['plan'],
  })
})

function meaningsOf(name: string, columns: string[], mapping = defaultMapping): Record<string, readonly string[]> {
  const meanings = columnMeanings(tableOf(name, columns), columns, mapping)
  return Object.fromEntries(meanings.map(({ column, becomes }) => [column, becomes]))
}

function namesOf(properties: Record<string, unknown>): string[] {
  return Object.entries(properties).flatMap(([name, value]) =>
    name === '$set' || name === '$set_once' ? Object.keys(Object(value)).map((inner) => `${name}.${inner}`) : [name],
  )
}
