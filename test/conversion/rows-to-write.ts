import { type FoundSession, Mapping, type Table, type Types, type Values } from '@heapferry/domain'
import fc from 'fast-check'

/** Rows of one table under one mapping. */
export interface RowsToWrite {
  table: Table
  columns: readonly string[]
  mapping: Mapping
  rows: readonly { values: Values; types: Types | undefined; session: FoundSession | null }[]
}

const mappings = [
  {},
  { enrich: ['sessions', 'pages'], static: { source: 'heap "import"', plan: 7, utm_source: 'static' } },
  { persons: 'set_once', anonymous: 'personless', autocapture: true },
  { identity: 'hash', properties: { plan: 'hash', path: 'drop', title: { name: 'Title "of" it' }, amount: 'number' } },
  {
    properties: {
      platform: { name: '$os' },
      browser: { as: 'hash' },
      utm_source: 'drop',
      flag: 'boolean',
      day: 'date',
    },
  },
  { properties: { query: 'drop', '42': { name: '7' }, landing_page: { name: 'landing' } }, null: ['none', '-'] },
  { groups: { company: { key: 'account' }, team: { key: 'plan' } }, tables: { click: { event: 'Clicked "it"\n' } } },
  {
    tables: {
      signup: { event: 'Signed up', properties: { plan: { as: 'hash', name: 'secret' } }, static: { of: 'table' } },
    },
  },
  { filter: { where: { plan: { exists: true } } }, deleted: 'send' },
].map((mapping) => Mapping.parse(mapping))

const tables: readonly Table[] = [
  { kind: 'pageviews', name: 'pageviews' },
  { kind: 'event', name: 'signup' },
  { kind: 'event', name: 'core_events_click_any_web' },
  { kind: 'raw_events', name: 'events' },
  { kind: 'users', name: 'users' },
]

const ids = ['user_id', 'event_id', 'session_id'] as const
const names = [
  ...'time type object library platform browser browser_version device_type device carrier user_agent city'.split(' '),
  ...'region country referrer app_name app_version screen_dimensions ip browser_ip domain path query hash title'.split(
    ' ',
  ),
  ...'landing_page landing_page_query landing_page_hash view_controller screen_a11y_label search_keyword'.split(' '),
  ...'utm_source utm_medium gclid heap_browser heap_platform target_text target_tag target_class href'.split(' '),
  ...'hierarchy identity email handle joindate last_modified initial_platform initial_landing_page'.split(' '),
  ...'plan amount flag day account distinct_id $set $os _fivetran_deleted 42 7 007 __proto__ constructor'.split(' '),
  'plan.name',
  'plan_name',
  'na"me',
  'back\\slash',
  'größe',
  '😀',
  '',
  'tab\there',
  '\ud800half',
  'length',
  'toJSON',
]

const id = fc.oneof(
  { arbitrary: fc.bigInt({ min: 1n, max: 2n ** 53n }).map(String), weight: 60 },
  fc.constantFrom('0', '1.5e3', '-7', '007', '1.23e15', 'x', null),
)
const time = fc.oneof(
  {
    arbitrary: fc.integer({ min: Date.UTC(2010), max: Date.UTC(2024) }).map((ms) => new Date(ms).toISOString()),
    weight: 60,
  },
  fc.constantFrom('2023-01-02 03:04:05', '1672628645', 'May 1, 2023, 10:00 AM', '2023-02-30 00:00:00', null),
)
const nasty = fc.constantFrom(
  '"',
  '\\',
  '\\"',
  '\0',
  '\x1f',
  '\x7f',
  '\n',
  '\r\n',
  '\t',
  '\b',
  '\u2028',
  '\ud800',
  '\udc00x',
  '😀',
  'é',
  '東京',
  '</script>',
  'web',
  'ios',
  'click',
  'page view',
  'submit',
  '$pageview',
  'true',
  'false',
  '1',
  '0',
  '1e400',
  'NaN',
  '-0',
  '0.1',
  'Windows 10',
  'Chrome 120.0.1',
  'iOS 17.1',
  'Germany',
  'Côte d’Ivoire',
  '1179x2556',
  'none',
  '-',
  'null',
  '<NA>',
  '?utm_source=a%20b&gclid=%ZZ&utm_medium=x+y',
  '?utm_source=%00%22',
  '/a"b',
  'www.a.example/x?utm_term=t',
  '#top',
  'https://www.google.com/search?q="x"',
  'a.example',
  '{"a":{"__proto__":1,"2":"\\ud800"}}',
  '[1,9007199254740993]',
)
const text = fc.oneof(
  nasty,
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.array(nasty, { maxLength: 4 }).map((all) => all.join('')),
)
const cell = fc.option(text, { freq: 4, nil: null })
const type = fc.constantFrom(undefined, undefined, 'integer', 'number', 'float', 'boolean', 'json')
const sessionCells = fc.option(fc.array(fc.option(text, { nil: null }), { minLength: 48, maxLength: 48 }), {
  nil: null,
})
const session: fc.Arbitrary<FoundSession | null> = fc.option(
  fc.record({
    startMs: fc.option(fc.integer({ min: Date.UTC(2022), max: Date.UTC(2024) })),
    isMissing: fc.boolean(),
    cells: sessionCells,
    page: fc.option(fc.array(fc.option(text, { nil: null }), { minLength: 5, maxLength: 5 }), { nil: null }),
  }),
  { freq: 2, nil: null },
)

/** @param rows how many at most */
export function rowsToWrite(rows: number): fc.Arbitrary<RowsToWrite> {
  return fc
    .record({
      table: fc.constantFrom(...tables),
      mapping: fc.constantFrom(...mappings),
      others: fc.subarray(names),
      repeated: fc.subarray(['title', 'plan', 'platform'], { maxLength: 1 }),
    })
    .chain(({ table, mapping, others, repeated }) => {
      const columns = [...new Set([...ids, 'time', ...others]), ...repeated]
      const values = fc.tuple(
        ...columns.map((column) => (ids.some((one) => one === column) ? id : column === 'time' ? time : cell)),
      )
      const types = fc.option(fc.tuple(...columns.map(() => type)), { nil: undefined })
      const row = fc.record({ values, types, session })
      return fc.record({
        table: fc.constant(table),
        columns: fc.constant(columns),
        mapping: fc.constant(mapping),
        rows: fc.array(row, { minLength: 1, maxLength: rows, size: 'max' }),
      })
    })
}
