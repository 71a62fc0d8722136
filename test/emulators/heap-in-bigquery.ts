import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { project, type TestBigquery } from './start-bqemulator.ts'

const dataset = 'main_production'
export const source = `bigquery://${project}/${dataset}`

interface Table {
  name: string
  columns: readonly string[]
  rows: readonly (readonly (string | null)[])[]
}

const first = 9007199254740993n
function some(person: string, time: string | null, page = '/'): (string | null)[] {
  return [person, '1', time, page, null, null]
}

/** What is hard to carry: ids beyond 2^53, times before 1970 and at the ends of the calendar, quotes, line ends, �. */
function heap(): Table[] {
  const titles = ['line\nbreak \\ tab\t', 'Grüße 🎉 \\N �', '', null]
  return [
    {
      name: 'users',
      columns: ['user_id', 'identity', 'email', 'joindate', 'last_modified'],
      rows: upTo(200, (n) => [
        String(first + BigInt(n)),
        n % 3 === 0 ? `person-${n}` : null,
        n % 5 === 0 ? '' : `p${n}@example.com`,
        timeAt(n * 3_600_000_001),
        null,
      ]),
    },
    {
      name: 'user_migrations',
      columns: ['from_user_id', 'to_user_id', 'time'],
      rows: upTo(40, (n) => [String(1000 + n), String(first + BigInt(n * 3)), '2022-06-01 00:00:00']),
    },
    {
      name: 'pageviews',
      columns: ['event_id', 'user_id', 'session_id', 'time', 'path', 'title', 'Plan_Name'],
      rows: [
        ...upTo(3000, (n) => [
          String(-9223372036854775807n + BigInt(n)),
          n % 7 === 0 ? String(1001 + (n % 40)) : String(first + 1n + BigInt(n % 200)),
          String(Math.floor(n / 10)),
          timeAt(n * 61_000_001),
          `/a/${n}?q="x",'y'`,
          titles[n % 4] ?? null,
          'gold',
        ]),
        ['1', ...some(String(first + 1n), '1969-12-31 23:59:59.999999')],
        ['2', ...some(String(first + 1n), '0001-01-01 00:00:00')],
        ['3', ...some(String(first + 1n), '9999-12-31 23:59:59.999999')],
        ['4', ...some(String(first + 1n), null)],
        ['6', null, '1', '2023-05-05 00:00:00', '/', null, null],
        ['7', ...some(String(first + 1n), '2023-05-05 00:00:00', 'x'.repeat(65_000))],
        ...upTo(1000, () => ['8', ...some(String(first + 1n), '2023-06-06 06:06:06.006', '/same')]),
      ],
    },
    {
      name: 'clicked_buy',
      columns: ['event_id', 'user_id', 'time', 'price', 'colour', 'seen'],
      rows: upTo(500, (n) => [
        String(n),
        String(first + 1n + BigInt(n % 200)),
        timeAt(n * 60_000_000),
        `${n}.125`,
        'red',
        timeAt(n * 60_500_001),
      ]),
    },
    { name: 'nothing_yet', columns: ['event_id', 'user_id', 'time'], rows: [] },
  ]
}

/** As Heap does it: each name is a view of a table that ends with _raw. */
export async function makeHeap(bigquery: TestBigquery): Promise<void> {
  await bigquery.emptyDataset(dataset)
  for (const [name, sql] of Object.entries(made))
    await bigquery.run(
      `create table ${dataset}.${name}_raw as ${sql}`,
      `create view ${dataset}.${name} as select * from ${dataset}.${name}_raw`,
    )
}

export const tapRows = 60_000

/** A table that is read in several windows, and who taps. */
export async function makeTaps(bigquery: TestBigquery): Promise<void> {
  await bigquery.emptyDataset(dataset)
  await bigquery.run(
    `create table ${dataset}.users as select 1 as user_id, 'ada' as identity`,
    `create table ${dataset}.taps_raw as select n as event_id, 1 + mod(n, 1000) as user_id, timestamp_add(timestamp '2023-01-01', interval n minute) as time, 'red' as colour from unnest(generate_array(1, ${tapRows})) as n`,
    `create view ${dataset}.taps as select * from ${dataset}.taps_raw`,
    `create table ${dataset}._sync_info as select timestamp '2024-01-01' as synced_at`,
  )
}

export async function alterTaps(
  bigquery: TestBigquery,
  how: 'rename colour' | 'rename it back' | 'add a column' | 'user_id is text' | 'user_id is a number again',
): Promise<void> {
  const listed = {
    'rename colour': 'event_id, user_id, time, colour as color',
    'rename it back': '*',
    'add a column': `*, 'x' as later`,
    'user_id is text': `event_id, concat('u-', cast(user_id as string)) as user_id, time, colour`,
    'user_id is a number again': '*',
  }[how]
  await bigquery.run(`create or replace view ${dataset}.taps as select ${listed} from ${dataset}.taps_raw`)
}

export async function syncAgain(bigquery: TestBigquery): Promise<void> {
  await bigquery.run(`create or replace table ${dataset}._sync_info as select timestamp '2024-01-02' as synced_at`)
}

/** The rows of `heap`, made by BigQuery's own SQL: as literals it would take minutes. */
const made: Readonly<Record<string, string>> = {
  users: `select ${first} + n as user_id, if(mod(n, 3) = 0, concat('person-', cast(n as string)), null) as identity, if(mod(n, 5) = 0, '', concat('p', cast(n as string), '@example.com')) as email, timestamp_add(timestamp '2022-01-01', interval n * 3600000001 microsecond) as joindate, cast(null as timestamp) as last_modified from unnest(generate_array(1, 200)) as n`,
  user_migrations: `select 1000 + n as from_user_id, ${first} + n * 3 as to_user_id, timestamp '2022-06-01' as time from unnest(generate_array(1, 40)) as n`,
  pageviews: [
    `select -9223372036854775807 + n as event_id, if(mod(n, 7) = 0, 1001 + mod(n, 40), ${first + 1n} + mod(n, 200)) as user_id, div(n, 10) as session_id, timestamp_add(timestamp '2022-01-01', interval n * 61000001 microsecond) as time, concat('/a/', cast(n as string), '?q="x",', "'y'") as path, case mod(n, 4) when 0 then 'line\\nbreak \\\\ tab\\t' when 1 then 'Grüße 🎉 \\\\N �' when 2 then '' else null end as title, 'gold' as Plan_Name from unnest(generate_array(1, 3000)) as n`,
    ...['1969-12-31 23:59:59.999999', '0001-01-01', '9999-12-31 23:59:59.999999'].map(
      (time, index) => `select ${index + 1}, ${first + 1n}, 1, timestamp '${time}', '/', null, null`,
    ),
    `select 4, ${first + 1n}, 1, null, '/', null, null`,
    `select 6, null, 1, timestamp '2023-05-05', '/', null, null`,
    `select 7, ${first + 1n}, 1, timestamp '2023-05-05', repeat('x', 65000), null, null`,
    `select 8, ${first + 1n}, 1, timestamp '2023-06-06 06:06:06.006', '/same', null, null from unnest(generate_array(1, 1000)) as n`,
  ].join(' union all '),
  clicked_buy: `select n as event_id, ${first + 1n} + mod(n, 200) as user_id, timestamp_add(timestamp '2022-01-01', interval n * 60000000 microsecond) as time, cast(concat(cast(n as string), '.125') as numeric) as price, 'red' as colour, datetime_add(datetime '2022-01-01', interval n * 60500001 microsecond) as seen from unnest(generate_array(1, 500)) as n`,
  nothing_yet: `select 1 as event_id, 1 as user_id, timestamp '2022-01-01' as time from unnest(generate_array(1, 1)) as n where n > 1`,
  big_spenders: `select 1 as user_id, date '2023-01-01' as since`,
  all_events: `select 1 as event_id, 1 as user_id, timestamp '2022-01-01' as time, 'x' as event_table_name`,
  _sync_info: `select 'pageviews' as table_name, timestamp '2024-01-01' as synced_at`,
}

/** As a person unloads by hand. */
export async function unloadByHand(into: string, tables: readonly string[]): Promise<void> {
  await mkdir(into, { recursive: true })
  for (const { name, columns, rows } of heap().filter((table) => tables.includes(table.name))) {
    const lines = [columns, ...rows].map((cells) => cells.map(csvCell).join(','))
    await writeFile(path.join(into, `${name}.csv`), `${lines.join('\n')}\n`)
  }
}

function csvCell(text: string | null): string {
  if (text === null) return ''
  return text === '' || /["\n\r,\\]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function upTo<T>(count: number, of: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => of(index + 1))
}

/** Microseconds after 2022-01-01. */
function timeAt(micros: number): string {
  const at = new Date(Date.UTC(2022, 0, 1) + Math.floor(micros / 1000)).toISOString()
  const digits = `${at.slice(20, 23)}${String(micros % 1000).padStart(3, '0')}`.replace(/0+$/, '')
  return `${at.slice(0, 10)} ${at.slice(11, 19)}${digits === '' ? '' : `.${digits}`}`
}
