import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import avro from 'avsc'
import { defaultMapping, Mapping } from '@heapferry/domain'
import { openWarehouse, sourceAt } from '@heapferry/sources'
import { expect, test } from 'vitest'
import { parseBigqueryAddress, parseScratch } from '../../packages/sources/src/warehouse/bigquery/bigquery-address.ts'
import {
  bigqueryColumn,
  bigquerySelect,
  bigqueryText,
} from '../../packages/sources/src/warehouse/bigquery/bigquery-columns.ts'
import { parseRedshiftAddress, redshiftNameOf } from '../../packages/sources/src/warehouse/redshift/redshift-address.ts'
import { redshiftColumn } from '../../packages/sources/src/warehouse/redshift/redshift-columns.ts'
import { tablesToUnload } from '../../packages/sources/src/warehouse/unload-tables.ts'
import { AvroMemory, AvroWriter, type CellKind } from '../../packages/sources/src/warehouse/write-avro.ts'
import { temporaryFolder } from '../support/folder.ts'
import { folderPlace, onlyTable } from '../support/place.ts'

const columns: { name: string; kind: CellKind }[] = [
  { name: 'user_id', kind: 'long' },
  { name: 'time', kind: 'string' },
  { name: 'Plan "Name"', kind: 'string' },
  { name: 'yes', kind: 'boolean' },
  { name: 'double', kind: 'double' },
  { name: 'real', kind: 'float' },
]

const hard: (string | null)[][] = [
  ['9007199254740993', '2023-01-02 03:04:05.678', 'a', 't', '0.30000000000000004', '0.10000000149011612'],
  ['-9223372036854775808', '0001-01-01 00:00:00', 'Grüße 🎉\n"\\N"\t', 'f', '1e+20', '16777216'],
  ['9223372036854775807', 'infinity', 'x'.repeat(70_000), 'true', 'NaN', '-Infinity'],
  ['0', null, '', null, null, null],
  ['-1', null, '\u{fffd}', 'false', '-0', '1e-07'],
]

async function written(rows: (string | null)[][]): Promise<string> {
  const folder = await temporaryFolder()
  const writer = new AvroWriter(columns, randomBytes(16))
  await writer.add(rows)
  await writeFile(path.join(folder, 'taps.avro'), await writer.end())
  return folder
}

test('what a warehouse says is read again as the same text, with the types that it declares', async () => {
  const folder = await written(hard)
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'taps.avro')
  const values: (string | null)[][] = []
  for await (const slice of sourceAt(place).readAll(file))
    for (const row of slice.rows) values.push(row.kind === 'row' ? [...row.values] : [row.detail])
  expect(file.types).toEqual(['integer', null, null, 'boolean', 'number', 'float'])
  expect(values).toEqual([
    ['9007199254740993', '2023-01-02 03:04:05.678', 'a', 'true', '0.30000000000000004', '0.10000000149011612'],
    ['-9223372036854775808', '0001-01-01 00:00:00', 'Grüße 🎉\n"\\N"\t', 'false', '100000000000000000000', '16777216'],
    ['9223372036854775807', 'infinity', 'x'.repeat(70_000), 'true', 'NaN', '-Infinity'],
    ['0', null, null, null, null, null],
    ['-1', null, '\u{fffd}', 'false', '0', '1.0000000116860974e-7'],
  ])
})

test('a file that is written where another one was, larger or broken off, is the same as anywhere else', async () => {
  const memory = new AvroMemory()
  const sync = randomBytes(16)
  const noise = Array.from({ length: 2500 }, () => [randomBytes(1000).toString('base64')])
  const files = [noise, noise.slice(0, 1500), noise.slice(0, 3), noise].map(async (rows) => {
    const alone = new AvroWriter([{ name: 'noise', kind: 'string' }], sync)
    await alone.add(rows)
    return { rows, bytes: Buffer.concat(await alone.end()) }
  })
  for (const { rows, bytes } of await Promise.all(files)) {
    expect(bytes.length).toBeGreaterThan(rows.length * 1000)
    const broken = new AvroWriter(columns, sync, memory)
    await broken.add(hard)
    const writer = new AvroWriter([{ name: 'noise', kind: 'string' }], sync, memory)
    await writer.add(rows)
    expect(Buffer.concat(await writer.end()).equals(bytes)).toBe(true)
    expect(writer.sizeBytes).toBe(bytes.length)
  }
})

test('a reader of other authors reads the same, of thousands of rows too, and of those in which nothing stands', async () => {
  const [first = []] = hard
  const many = [['-7', ...first.slice(1)], ...Array.from({ length: 12_345 }, () => columns.map(() => null))]
  const folder = await written(many)
  const decoder = avro.createFileDecoder(path.join(folder, 'taps.avro'), {
    parseHook: (schema: unknown) => avro.Type.forSchema(withNames(schema)),
  })
  const rows: unknown[] = []
  for await (const row of decoder) rows.push(row)
  expect(rows).toHaveLength(12_346)
  expect(JSON.parse(JSON.stringify(rows[0]))).toEqual({
    user_id: -7,
    time: '2023-01-02 03:04:05.678',
    plan_name: 'a',
    yes: true,
    double: 0.1 + 0.2,
    real: Math.fround(0.1),
  })
  const place = await folderPlace(folder)
  const file = await onlyTable(place, 'taps.avro')
  expect(await sourceAt(place).countRows(file, Number.POSITIVE_INFINITY)).toBe(12_346)
})

/** A library refuses names that a warehouse allows. */
function withNames(schema: unknown): avro.Schema {
  const text = JSON.stringify(schema).replaceAll('Plan \\"Name\\"', 'plan_name')
  return JSON.parse(text)
}

test.each([
  ['long', '1.5'],
  ['long', 'red'],
  ['boolean', 'yes'],
  ['double', ''],
] as const)('a cell that is not what its column was is no %s: %s', async (kind, text) => {
  const writer = new AvroWriter([{ name: 'c', kind }], randomBytes(16))
  await expect(writer.add([[text]])).rejects.toMatchObject({ name: 'NotOfKind' })
})

test('an address is one text, however it is typed', () => {
  const typed = ['redshift://Ann@Host.example.com/heap/main', 'redshift://Ann@host.example.com:5439/heap/main/']
  expect(typed.map((one) => parseRedshiftAddress(one).text)).toEqual([
    'redshift://Ann@host.example.com:5439/heap/main',
    'redshift://Ann@host.example.com:5439/heap/main',
  ])
  expect(parseRedshiftAddress('redshift://Host.example.com/heap/main')).toMatchObject({
    user: null,
    text: 'redshift://host.example.com:5439/heap/main',
  })
  expect(parseRedshiftAddress('redshift://a%40b@[::1]:1/x%2Fy/z')).toMatchObject({
    host: '::1',
    port: 1,
    user: 'a@b',
    database: 'x/y',
    schema: 'z',
  })
})

test.each([
  'redshift://ann:s3cret@host/heap/main',
  'redshift://ann:s3cret/with@signs@host/heap/main',
  'redshift://ann@host/heap/main?password=s3cret',
  'redshift://ann:@s3cret@host/heap/main',
  'redshift:ann:s3cret@host/heap/main',
  'redshift://ann:s3#c/r?s3cret@host/heap/main',
  'REDSHIFT://ann:s3cret@host/heap/main',
  'redshift-data://ann:s3cret@host/heap/main',
  'redshift-data:ann:s3cret@host/heap/main',
])('an address with a password is refused, and not repeated: %#', async (address) => {
  const options = { passwordFor: () => '', tls: undefined, timeoutMs: 1 }
  const refused = await openWarehouse(address, options).catch((error: unknown) => error)
  expect(refused).toMatchObject({
    name: 'OperatorError',
    message: expect.stringContaining('holds no password'),
    hint: expect.stringContaining('PGPASSWORD'),
  })
  expect(JSON.stringify([String(refused), refused])).not.toContain('s3cret')
})

test.each([
  'redshift:///heap/main',
  'redshift://ann@host/heap',
  'redshift://ann@/heap/main',
  'redshift:heap',
  'redshift-data://heap/main',
])('an address that lacks something is refused with its form: %s', (address) => {
  expect(() => parseRedshiftAddress(address)).toThrow(/is no address of a Redshift/)
})

test.each([
  ['heap.abc123xyz.eu-west-1.redshift.amazonaws.com', { kind: 'cluster', name: 'heap', region: 'eu-west-1' }],
  [
    'wg-1.123456789012.us-east-1.redshift-serverless.amazonaws.com',
    { kind: 'workgroup', name: 'wg-1', region: 'us-east-1' },
  ],
  ['heap.abc.cn-north-1.redshift.amazonaws.com.cn', { kind: 'cluster', name: 'heap', region: 'cn-north-1' }],
])('the host %s tells what AWS knows the warehouse by', (host, name) => {
  expect(redshiftNameOf(parseRedshiftAddress(`redshift://${host}/heap/main`), undefined)).toEqual(name)
  expect(redshiftNameOf(parseRedshiftAddress('redshift-data://127.0.0.1/heap/main'), host)).toEqual(name)
})

test.each(['redshift.amazonaws.com', 'heap.abc.eu-west-1.redshift.amazonaws.com.evil.example', '127.0.0.1'])(
  'the host %s tells no cluster',
  (host) => {
    expect(() => redshiftNameOf(parseRedshiftAddress(`redshift-data://${host}/heap/main`), undefined)).toThrow(
      `redshift-data://${host}/heap/main is logged in to by IAM, and ${host} does not tell of which cluster`,
    )
  },
)

test.each([
  'redshift-data://ann@heap.abc.eu-west-1.redshift.amazonaws.com/heap/main',
  'redshift-data://heap.abc.eu-west-1.redshift.amazonaws.com:5439/heap/main',
])('the Data API has no user and no port: %s', (address) => {
  expect(() => parseRedshiftAddress(address)).toThrow('names a user or a port, and the Data API has neither')
})

test('an address of a BigQuery is one text, however it is typed; a scratch dataset is of the same project unless it names one', () => {
  const address = parseBigqueryAddress('BigQuery://My-Project/Main_Production/')
  expect(address.text).toBe('bigquery://my-project/Main_Production')
  expect(parseBigqueryAddress('bigquery://example.com:my-project/d').project).toBe('example.com:my-project')
  expect(parseScratch('scratch', address)).toEqual({ project: 'my-project', dataset: 'scratch' })
  expect(parseScratch('example.com:other.scratch', address)).toEqual({
    project: 'example.com:other',
    dataset: 'scratch',
  })
  expect(() => parseScratch('other:scratch', address)).toThrow(/HEAPFERRY_BIGQUERY_SCRATCH is other:scratch/)
})

test.each([
  'bigquery://project',
  'bigquery:project/dataset',
  'bigquery://project/data-set',
  'bigquery://project/dataset/table',
])('an address of a BigQuery that is none is refused with its form: %s', (address) => {
  expect(() => parseBigqueryAddress(address)).toThrow(/is no address of a BigQuery/)
})

test.each([
  'bigquery://ann:s3cret@project/dataset',
  'bigquery://project/dataset?key=s3cret',
  'bigquery://project/dataset#s3cret',
])('what may be a secret in an address of a BigQuery is refused, and not repeated: %#', async (address) => {
  const options = { passwordFor: () => '', tls: undefined, timeoutMs: 1 }
  const refused = await openWarehouse(address, options).catch((error: unknown) => error)
  expect(refused).toMatchObject({ name: 'OperatorError', message: expect.stringContaining('holds no @, ? or #') })
  expect(JSON.stringify([String(refused), refused])).not.toContain('s3cret')
})

test.each([
  ['TIMESTAMP', '-1', '1969-12-31 23:59:59.999999'],
  ['TIMESTAMP', '-62135596800000000', '0001-01-01 00:00:00'],
  ['TIMESTAMP', '253402300799999999', '9999-12-31 23:59:59.999999'],
  ['TIMESTAMP', '1672628645678000', '2023-01-02 03:04:05.678'],
  ['DATETIME', '2023-01-02T03:04:05.678000', '2023-01-02 03:04:05.678'],
  ['DATETIME', '2023-01-02T03:04:05', '2023-01-02 03:04:05'],
  ['DATETIME', '2023-01-02T03:04:05.000000', '2023-01-02 03:04:05'],
  ['FLOAT', 'inf', 'Infinity'],
  ['FLOAT', '-Infinity', '-Infinity'],
  ['FLOAT', 'nan', 'NaN'],
  ['INTEGER', '9007199254740993', '9007199254740993'],
  ['STRING', '1672628645678000', '1672628645678000'],
])('what BigQuery says of a %s, %s, is %s', (type, said, text) => {
  const column = bigqueryColumn('c', type)
  expect(column && bigqueryText(column, said)).toBe(text)
})

test('a time of BigQuery that is none by now tells that the column was altered', () => {
  const column = bigqueryColumn('time', 'TIMESTAMP')
  expect(() => column && bigqueryText(column, 'yesterday')).toThrow('"yesterday" is no time')
})

test('one SELECT reads a table of BigQuery whichever way: what would be written otherwise is cast, and a NULL stays one', () => {
  const typed = [
    ['User_Id', 'INTEGER'],
    ['tags', 'ARRAY'],
    ['price', 'NUMERIC'],
    ['raw', 'BYTES'],
    ['we`ird', 'STRING'],
    ['at', 'GEOGRAPHY'],
  ].flatMap(([name = '', type = '']) => bigqueryColumn(name, type) ?? [])
  expect(bigquerySelect({ name: 't', columns: typed }, '`p`.`d`.`t`')).toBe(
    'SELECT `User_Id` AS `user_id`, IF(`tags` IS NULL, NULL, TO_JSON_STRING(`tags`)) AS `tags`, CAST(`price` AS STRING) AS `price`, TO_HEX(`raw`) AS `raw`, `we\\`ird` AS `we\\`ird` FROM `p`.`d`.`t`',
  )
})

test('tables are known by their names, those of Fivetran too; what no event is made of is named and left', () => {
  const relations = [
    relation('user', 'user_id', '_fivetran_synced'),
    relation('Pageviews', 'user_id', 'time', 'event_id', '_sdc_received_at'),
    relation('clicked_2', 'user_id', 'time'),
    relation('all_events', 'user_id', 'time'),
    relation('segment_vip', 'user_id'),
    relation('secret_taps', 'user_id', 'time'),
    relation('renamed', 'uid', 'time'),
    relation('_sync_info', 'x'),
  ]
  const mapping = Mapping.parse({ tables: { secret_taps: { kind: 'skip' }, renamed: { columns: { uid: 'user_id' } } } })
  const { tables, leftOut, notices } = tablesToUnload({ relations }, mapping)
  expect(tables.map(({ table, relation: of }) => [of.name, table.kind, table.name])).toEqual([
    ['Pageviews', 'pageviews', 'pageviews'],
    ['_sync_info', 'helper', '_sync_info'],
    ['clicked_2', 'event', 'clicked_2'],
    ['renamed', 'event', 'renamed'],
    ['user', 'users', 'users'],
  ])
  expect(leftOut.map((one) => [one.table.name, ...one.columns])).toEqual([
    ['all_events', 'user_id', 'time'],
    ['secret_taps', 'user_id', 'time'],
    ['segment_vip', 'user_id'],
  ])
  expect(notices).toEqual([
    expect.stringContaining('all_events, segment_vip'),
    expect.stringContaining('the mapping leaves them out: secret_taps'),
  ])
})

test('a table that lacks what no row can do without is refused before anything is unloaded', () => {
  const relations = [{ name: 'pageviews', columns: [] }]
  expect(() => tablesToUnload({ relations }, defaultMapping)).toThrow(
    'The table pageviews needs the columns user_id, time; in the warehouse it has no user_id, time',
  )
})

function relation(name: string, ...names: string[]) {
  return { name, columns: names.flatMap((column) => redshiftColumn(column, 'bigint') ?? []) }
}
