import { type Columns, conversionVersion, type Mapping, type PostHogEvent, RunId, type Table } from '@heapferry/domain'
import { campaignParameters } from './campaign.ts'
import { compileConverter } from './compile-converter.ts'
import type { ConversionContext } from './context.ts'
import { flatProperties } from './flat-properties.ts'

/** What becomes of a column. */
export interface ColumnMeaning {
  column: string
  /**
   * The parts of events that its values can show up in: `distinct_id`, `timestamp`, `event`, or the name of a property;
   * properties of people as `$set.plan`, `$set_once.$initial_os`. Empty where it is left out.
   */
  becomes: readonly string[]
}

/**
 * What becomes of each column of a table, found out by converting made-up rows: a column becomes whatever changes when
 * nothing but its value does. So there is no second list of columns that the converters could depart from. What is said of
 * `$set` goes for people whose id was not migrated away: of those it is `$set_once`.
 */
export function columnMeanings(table: Table, columns: Columns, mapping: Mapping): ColumnMeaning[] {
  // What is sent, and of whom, is another question.
  const unfiltered: Mapping = { ...mapping, anonymous: 'full', filter: {}, tables: withoutConditions(mapping.tables) }
  const convert = compileConverter(table, columns, { ...context, mapping: unfiltered })
  const partsOf = (row: MadeUpRow): Parts | null => {
    const cells: (string | null)[] = empty.slice()
    for (const [index, value] of row) cells[index] = value
    const conversion = convert(cells)
    return conversion.kind === 'event' ? flat(conversion.event) : null
  }
  const empty = columns.map(() => null)
  const partsThatChange = (base: MadeUpRow, index: number): string[] =>
    changing(values.map((value) => partsOf(new Map(base).set(index, value))).filter((parts) => parts !== null))

  const bare = new Map([...bareRow(columns), ...groupCells(table, columns, mapping)])
  const alone = columns.map((_, index) => partsThatChange(bare, index))
  // Most columns are properties of their own, and have no say in what others become.
  const speaking = [...columns.keys()].filter((index) => alone[index]?.length !== 1)
  const bases = otherBases(columns, fullRow(bare, speaking, partsOf), bare, mapping)
  return columns.map((column, index) => {
    const becomes = [...(alone[index] ?? []), ...bases.flatMap((base) => partsThatChange(base, index))]
    return { column, becomes: [...new Set(becomes)] }
  })
}

/** Cells by index of their column. */
type MadeUpRow = ReadonlyMap<number, string>

type Parts = ReadonlyMap<string, string>

/** Two of each kind of value that some column is read as, so that a column of any kind changes with some of them. */
const values = [
  'Windows 10',
  'iOS 15.4',
  'Chrome 120.0',
  'Firefox 119.1',
  'Germany',
  'France',
  '1',
  '2',
  '2023-01-02 03:04:05',
  // The same day: a session id says the day, and is not made of the time.
  '2023-01-02 03:04:06',
  '390x844',
  '1920x1080',
  'https://a.example/x?y=1',
  'https://b.example/z?w=2',
  // An identity that is one is the address of a person without another.
  'a@example.com',
  'b@example.com',
  ...['3', '4'].map((value) => `?${campaignParameters.map((name) => `${name}=${value}`).join('&')}`),
]

/** The cells without which no row of any table becomes an event. */
const required: Readonly<Record<string, string>> = {
  user_id: '1',
  from_user_id: '1',
  to_user_id: '2',
  time: '2023-01-02 03:04:05',
  joindate: '2023-01-02 03:04:05',
  identity: 'a',
}

const context: Omit<ConversionContext, 'mapping'> = {
  run: RunId.parse('plan'),
  conversion: conversionVersion,
  startedAtMs: Date.UTC(2024, 0, 1),
  includeRecent: false,
  identities: {
    person: () => undefined,
    joinedBy: (alias, distinctId) => ({ kind: 'joins', alias, distinctId }),
    isKnown: () => true,
    isSuperseded: () => false,
    givesToGroup: () => true,
    standing: () => undefined,
  },
  hash: (text) => `hash of ${text}`,
}

export function withoutConditions(tables: Mapping['tables']): Mapping['tables'] {
  return Object.fromEntries(Object.entries(tables).map(([name, table]) => [name, { ...table, where: undefined }]))
}

function bareRow(columns: Columns): MadeUpRow {
  const cells = Object.entries(required).map(([column, value]): [number, string] => [columns.indexOf(column), value])
  return new Map(cells.filter(([index]) => index !== -1))
}

/** Without a group and something of it no row says anything of groups. */
function groupCells(table: Table, columns: Columns, { groups }: Mapping): [number, string][] {
  const group = table.kind === 'groups' ? groups[table.group] : undefined
  const wanted = group === undefined ? [] : [group.key, ...group.properties]
  return wanted.map((column): [number, string] => [columns.indexOf(column), '1']).filter(([index]) => index !== -1)
}

/** The bare row with every cell filled that takes one of a few values. */
function fullRow(bare: MadeUpRow, indexes: readonly number[], partsOf: (row: MadeUpRow) => Parts | null): MadeUpRow {
  let full = bare
  for (const index of indexes) {
    if (full.has(index)) continue
    const rows = ['a', '1', '2023-01-02 03:04:05'].map((value) => new Map(full).set(index, value))
    full = rows.find((row) => partsOf(row) !== null) ?? full
  }
  return full
}

/**
 * More rows to change one cell of. What a column becomes can depend on the others: `query` is a part of the page's
 * address where there is a domain, `view_controller` names the screen where the library is one of phones, and `target_tag`
 * is an element's where the row is a click.
 */
function otherBases(columns: Columns, full: MadeUpRow, bare: MadeUpRow, { autocapture }: Mapping): MadeUpRow[] {
  const library = columns.indexOf('library')
  const identity = columns.indexOf('identity')
  const anonymous = new Map(bare)
  anonymous.delete(identity)
  const native = [full, bare].map((row) => new Map(row).set(library, 'ios'))
  const type = columns.indexOf('type')
  const click = new Map(full).set(type, 'click')
  return [
    full,
    ...(library === -1 ? [] : native),
    ...(identity === -1 ? [] : [anonymous]),
    ...(autocapture && type !== -1 ? [click] : []),
  ]
}

function changing(outcomes: readonly Parts[]): string[] {
  const names = new Set(outcomes.flatMap((parts) => [...parts.keys()]))
  return [...names].filter((name) => new Set(outcomes.map((parts) => parts.get(name))).size > 1)
}

/** Without the uuid, which every cell of a row without an event_id has a part in. */
function flat({ event, distinct_id, timestamp, properties }: PostHogEvent): Parts {
  const parts = flatProperties({ distinct_id, timestamp, event, ...properties })
  return new Map([...parts].map(([name, value]) => [name, JSON.stringify(value)]))
}
