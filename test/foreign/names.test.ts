import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Mapping, RunId } from '@heapferry/domain'
import { ChunkQueue, redisLedger } from '@heapferry/queue'
import { discover, inspectExport, noticesOf } from '@heapferry/sources'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { noS3 } from '../support/place.ts'
import { redisForTests } from '../support/redis.ts'
import { tableWriters } from '../support/write-table.ts'

const server = redisForTests()
const id = '4702333951502204'
const time = '2023-05-01 10:00:00'

/** Columns of each kind of table, and a row. */
const event = `user_id,event_id,session_id,time,path\n${id},1144768874446519,7376682748375158,${time},/a\n`
const users = `user_id,identity,joindate\n${id},alice@example.com,${time}\n`
const migrations = `from_user_id,to_user_id,time\n${id},7009812345678901,${time}\n`
const allEvents = `event_id,time,user_id,session_id,event_table_name\n7001,${time},${id},7376682748375158,pageviews\n`

/** What is written where, by what it holds. */
type Files = Readonly<Record<string, string>>

async function written(files: Files, folder = 'export'): Promise<string> {
  const root = path.join(await temporaryFolder(), folder)
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true })
    if (/\.(?:parquet|parq|avro)$/.test(name)) await writeBinary(path.join(root, name), text)
    else await writeFile(path.join(root, name), text)
  }
  return root
}

function writeBinary(file: string, csv: string): Promise<void> {
  const [columns = [], ...rows] = csv
    .trim()
    .split('\n')
    .map((line) => line.split(','))
  return tableWriters[file.endsWith('.avro') ? 'avro' : 'parquet'](file, { columns, rows })
}

/** Of each table the kind and what has told it; of each faulty file what is said of it. */
async function lookedAt(source: string, mapping: unknown = {}) {
  const parsed = Mapping.parse(mapping)
  const discovery = await discover(source, noS3)
  const inspected = await inspectExport(discovery, parsed)
  discovery.place.close()
  const tables: Record<string, string> = {}
  const stops: string[] = []
  for (const one of inspected) {
    if (one.kind === 'faulty') stops.push(`${one.fault.message}\n${one.fault.hint}`)
    else for (const { table, toldBy } of one.files) tables[table.name] = `${table.kind} by ${toldBy}`
  }
  const notices = [...discovery.notices, ...noticesOf(inspected, parsed)]
  return { tables, stops, notices, files: inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : [])) }
}

const uuid = '01b2c3d4-0502-1a2b-0000-000012345672'
const hash = '5874f78365fb49e98ab347f0a9f33455'

test.each<[what: string, Files, tables: Record<string, string>]>([
  [
    "Snowflake's query id between name and shard",
    {
      [`signup_click_${uuid}_0_0_0.csv`]: event,
      [`buy_click_${uuid}_0_0_0.csv`]: event,
      [`users_${uuid}_0_0_0.csv`]: users,
    },
    { signup_click: 'event by name', buy_click: 'event by name', users: 'users by name' },
  ],
  [
    "BigQuery's shard numbers without a separator",
    {
      'pageviews000000000000.csv': event,
      'pageviews000000000001.csv': event,
      'signup_click000000000000.csv': event,
      'signup_click000000000001.csv': event,
    },
    { pageviews: 'pageviews by name', signup_click: 'event by name' },
  ],
  [
    "BigQuery's shard number behind a name that ends in a number",
    { 'signup_click_2000000000001.csv': event, 'signup_click_3-000000000001.csv': event },
    { signup_click_2: 'event by name', signup_click_3: 'event by name' },
  ],
  [
    'hashes of pandas below partitions',
    {
      [`pageviews/dt=2023-05-01/${hash}-0.parquet`]: event,
      [`pageviews/dt=2023-05-02/${hash}-0.parquet`]: event,
      [`users/yr=2022/${hash}-0.parquet`]: users,
    },
    { pageviews: 'pageviews by folder', users: 'users by folder' },
  ],
  [
    'hashes of awswrangler behind a name',
    { [`signup_click_${hash}.csv`]: event, [`${hash}_0/buy_click/${hash}_1.csv`]: event },
    { signup_click: 'event by name', buy_click: 'event by folder' },
  ],
  [
    'parts of Dask',
    { 'signup_click/part.0.parquet': event, 'signup_click/part.1.parquet': event, 'buy_click.0.part': event },
    { signup_click: 'event by folder', buy_click: 'event by name' },
  ],
  [
    'a folder for the format',
    { 'pageviews/csv/part-00000.csv': event, 'users/csv/part-00000.csv': users, 'buy/parquet/0.parquet': event },
    { pageviews: 'pageviews by folder', users: 'users by folder', buy: 'event by folder' },
  ],
  [
    'downloads, copies and a schema in front of tables that are not sent',
    {
      'sessions.csv': event,
      'sessions (1).csv': event,
      'main_production_all_events.csv': allEvents,
      'all_events/csv/0000_part_00': allEvents,
    },
    { sessions: 'sessions by name', all_events: 'all_events by name' },
  ],
  [
    'copies of a browser, of Windows, of macOS and of Google Drive',
    {
      'signup(1).csv': event,
      'signup - Copy.csv': event,
      'signup copy 2.csv': event,
      'Copy of signup.csv': event,
      'users.csv (1)': users,
    },
    { signup: 'event by name', users: 'users by name' },
  ],
  [
    'schemas and projects in front, by point, line and dash',
    {
      'public.buy.csv': event,
      'acme_prod_users.csv': users,
      'acme_prod_sessions.csv': event,
      'acme_prod_signup_click.csv': event,
      'main_production-view_cart.csv': event,
    },
    {
      buy: 'event by name',
      users: 'users by name',
      sessions: 'sessions by name',
      signup_click: 'event by name',
      view_cart: 'event by name',
    },
  ],
  [
    'a prefix that two tables of Heap have in common',
    { 'wonka_users.csv': users, 'wonka_pageviews.csv': event, 'wonka_signup.csv': event },
    { users: 'users by name', pageviews: 'pageviews by name', signup: 'event by name' },
  ],
  [
    'an ending that two tables of Heap have in common',
    {
      'users_export.csv': users,
      'pageviews_export.csv': event,
      'signup_click_export.csv': event,
      'report_export_export.csv': event,
    },
    {
      users: 'users by name',
      pageviews: 'pageviews by name',
      signup_click: 'event by name',
      report_export: 'event by name',
    },
  ],
  [
    'days and times behind',
    {
      'signup_2023-05-01.csv': event,
      'signup 2023-05-02T10:00:00Z.csv': event,
      'signup_20230503_101500.csv': event,
      'users_2023_05.csv': users,
      'pageviews 2023-05-01 10_10am.csv': event,
      'buy_202305011010.csv': event,
    },
    { signup: 'event by name', users: 'users by name', pageviews: 'pageviews by name', buy: 'event by name' },
  ],
  [
    'Glue, Sqoop, Beam, Hive, Flink, Iceberg, Trino, Kafka Connect, ClickHouse',
    {
      'a_click/run-1562763846563-part-r-00000': event,
      'b_click/part-m-00000': event,
      'c_click-00000-of-00002.csv': event,
      'd_click.csv-00001-of-00002': event,
      'e_click/000000_0_copy_1': event,
      [`f_click/2023-05-01--10/part-${uuid}-0-0`]: event,
      [`g_click/data/00000-0-${uuid}-00001.parquet`]: event,
      'h_click/20230501_101010_00012_abcde.csv': event,
      'i_click+0+0000000000.csv': event,
      'j_click.CSVWithNames': event,
    },
    Object.fromEntries(
      'abcdefghij'
        .split('')
        .map((letter) => [`${letter}_click`, `event by ${'abefgh'.includes(letter) ? 'folder' : 'name'}`]),
    ),
  ],
  [
    'one name for every file in folders of tables',
    { 'users/rows.csv': users, 'pageviews/rows.csv': event, 'signup/rows.csv': event },
    { users: 'users by folder', pageviews: 'pageviews by folder', signup: 'event by folder' },
  ],
  [
    "a folder that is called as one of Heap's tables and holds others",
    { 'all_events/signup.csv': event, 'all_events/buy.csv': event, 'users/eu.csv': users },
    { signup: 'event by name', buy: 'event by name', users: 'users by columns' },
  ],
  [
    'tables of users whose names hold words of writers',
    {
      'users.csv': users,
      'pageviews.csv': event,
      'signup_click_2.csv': event,
      'data_export_click.csv': event,
      'report_export.csv': event,
      'step_01.csv': event,
      'step_02.csv': event,
      'promo_2024.csv': event,
      'error404.csv': event,
      'part_1_of_2.csv': event,
      'blog_pageviews.csv': event,
      'invite_users.csv': event,
      'black_friday_20231124.csv': event,
    },
    {
      users: 'users by name',
      pageviews: 'pageviews by name',
      ...Object.fromEntries(
        [
          'signup_click_2',
          'data_export_click',
          'report_export',
          'step_01',
          'step_02',
          'promo_2024',
          'error404',
          'part_1_of_2',
          'blog_pageviews',
          'invite_users',
          'black_friday_20231124',
        ].map((name) => [name, 'event by name']),
      ),
    },
  ],
  [
    'numbers that are the name, before the shard',
    { promo_20240000_part_00: event, promo_20250000_part_00: event },
    { promo_2024: 'event by name', promo_2025: 'event by name' },
  ],
  [
    'columns alone where no name is left',
    { 'part-00000': users, 'part-00001': migrations, 'data_0.csv': allEvents },
    { users: 'users by columns', user_migrations: 'user_migrations by columns', all_events: 'all_events by columns' },
  ],
  [
    'columns where the name is of nobody',
    { 'people.csv': users, 'heap/user_migration/part-00000.parquet': migrations },
    { users: 'users by columns', user_migrations: 'user_migrations by columns' },
  ],
  [
    'numbers behind dashes that count from zero, or with zeros in front',
    { 'signup-0.csv': event, 'signup-1.csv': event, 'buy-01.csv': event, 'buy-02.csv': event, 'cart-0-3.csv': event },
    { signup: 'event by name', buy: 'event by name', cart: 'event by name' },
  ],
  [
    'words of writers that are events, where other tables have names',
    {
      'x/SIGNUP/000000000000.csv': event,
      'x/DOWNLOAD/000000000000.csv': event,
      'a.main_production.export.csv': event,
      'backup-000000000000.csv': event,
    },
    { signup: 'event by folder', download: 'event by folder', export: 'event by name', backup: 'event by name' },
  ],
  [
    'parts that are numbered by words, and regions with the same tables',
    {
      'signup.part1.csv': event,
      'buy.part2.csv': event,
      'eu/users/part-0.csv': users,
      'us/users/part-0.csv': users,
      'eu/cart/part-0.csv': event,
      'us/cart/part-0.csv': event,
    },
    { signup: 'event by name', buy: 'event by name', users: 'users by folder', cart: 'event by folder' },
  ],
  [
    'names that are set apart by dashes and spaces',
    { 'wonka-sessions.csv': event, 'Heap export - users.csv': users, 'wonka-signup.csv': event },
    { sessions: 'sessions by name', users: 'users by name', signup: 'event by name' },
  ],
  [
    'helper tables with a schema in front',
    {
      'main_production__sync_info.csv': `event_table_name,synced_to_time\npageviews,${time}\n`,
      'heap._event_metadata.csv': 'table_name,event\nsignup,Sign up\n',
    },
    { _sync_info: 'helper by name', _event_metadata: 'helper by name' },
  ],
])('names: %s', async (_, files, tables) => {
  expect(await lookedAt(await written(files))).toMatchObject({ tables, stops: [] })
})

test.each<[what: string, Files, said: string[]]>([
  [
    'a name for files of every table, and no folder',
    { 'part-00000.csv': event },
    ['part-00000.csv', 'files: { "part-00000.csv": NAME }'],
  ],
  [
    'two events, or parts of one',
    { 'step_01.csv': event, 'step_02.csv': event },
    ['step_01, step_02 may be', 'files: { "step_01.csv": NAME }'],
  ],
  [
    'sessions, or an event called so',
    { 'view_sessions.csv': event },
    ['may hold sessions or', ': sessions }', ': view_sessions }'],
  ],
  ['pageviews of a folder, or an event', { 'pageviews/europe.csv': event }, ['may hold pageviews or', ': europe }']],
  ["Fivetran's name, or an event", { 'session.csv': event }, ['may hold sessions or', ': session }']],
  ["BigQuery's raw rows", { 'pageviews_raw.csv': event }, ['may hold pageviews or']],
  [
    'an event beside the table that it is named after',
    { 'sessions.csv': event, 'sessions_export.csv': event },
    ['may hold sessions or'],
  ],
  [
    'users with the columns of migrations',
    { 'users.csv': migrations },
    ['users.csv is users by its name', 'from_user_id and to_user_id'],
  ],
  [
    'users with the columns of actions',
    { 'users.csv': event },
    ['users.csv is users by its name', 'columns of actions (path)'],
  ],
  [
    'sessions with the columns of users',
    { 'sessions (1).csv': users },
    ['is sessions by its name', 'identity and joindate'],
  ],
  [
    'an event with the columns of all_events',
    { 'signup.csv': allEvents },
    ['signup.csv is signup by its name', 'event_table_name'],
  ],
  [
    'all_events with what events say',
    { 'all_events.csv': event },
    ['is all_events by its name', 'columns of actions (path)'],
  ],
  [
    'a second table of people',
    { 'users.csv': users, 'customers.csv': users },
    ['customers.csv has the columns of users, and so has users.csv'],
  ],
  ['two environments', { 'a.prod.signup.csv': event, 'a.dev.signup.csv': event }, ['several schemas (a.dev, a.prod)']],
  [
    'numbers behind dashes, which people write too',
    { 'step-1.csv': event, 'step-2.csv': event },
    ['step-1, step-2 may be tables of their own, or parts of one table step'],
  ],
  [
    'folders with one name in each',
    { 'may/clicks.csv': event, 'june/clicks.csv': event },
    ['files of several folders are called clicks'],
  ],
])('names that leave a doubt stop, with what to type: %s', async (_, files, said) => {
  const { stops } = await lookedAt(await written(files))
  expect(stops.length).toBeGreaterThan(0)
  for (const words of said) expect(stops[0]).toContain(words)
})

test.each<[what: string, Files, table: string, told: string]>([
  ['a day behind a single name', { 'signup_20230501.csv': event }, 'signup', "is taken for the writer's"],
  [
    'shards from 0001 on',
    { 'signup_0001.csv': event, 'signup_0002.csv': event },
    'signup',
    "is taken for the writer's",
  ],
  ['a number that may be a shard', { 'signup_0007.csv': event }, 'signup_0007', 'is taken for a part of the name'],
  [
    'numbers that may be parts',
    { 'signup_1.csv': event, 'signup_2.csv': event },
    'signup_2',
    'is taken for a part of the name',
  ],
  ['a word of writers', { 'signup_export.csv': event }, 'signup_export', 'is taken for a part of the name'],
  [
    'a word of writers behind all names',
    { 'signup_export.csv': event, 'buy_export.csv': event },
    'buy',
    "is taken for the writer's",
  ],
  ['a word that may be an event', { 'export.csv': event }, 'export', 'is read as a table called export'],
])('names that were taken for the likelier of two things are told: %s', async (_, files, table, told) => {
  const { tables, notices, stops } = await lookedAt(await written(files))
  expect(stops).toEqual([])
  expect(Object.keys(tables)).toContain(table)
  expect(notices.join('\n')).toContain(told)
  expect(notices.join('\n')).toContain('files: {')
})

test('shards are of the table that the export is called only where nothing else has a name, and that is told', async () => {
  const shards = await lookedAt(await written({ 'part-0.csv': event, 'part-1.csv': event }, 'signup'))
  expect(shards).toMatchObject({ tables: { signup: 'event by folder' }, stops: [] })
  expect(shards.notices.join()).toContain('are read as the table signup, as their folder is called')
  const { stops } = await lookedAt(await written({ 'part-0.csv': event, 'users.csv': users }, 'acme'))
  expect(stops).toEqual([expect.stringContaining('neither its name nor its folder tells')])
})

test('no name of a writer becomes a table, however many files there are: one notice tells of all', async () => {
  const files = Object.fromEntries(
    Array.from({ length: 12 }, (_, nth) => [`signup_${String(nth + 1).padStart(4, '0')}.csv`, event]),
  )
  const { tables, notices } = await lookedAt(await written(files))
  expect(tables).toEqual({ signup: 'event by name' })
  expect(notices).toHaveLength(1)
})

test('the mapping file says which table files belong to, by path, name or pattern, and tells of what fits no file', async () => {
  const source = await written({
    'step_01.csv': event,
    'step_02.csv': event,
    'a/part-0.csv': event,
    'view_sessions.csv': event,
    'x (1).csv': event,
  })
  const files = {
    'step_02.csv': 'step_02',
    'step_*': 'step',
    'a/**': 'pageviews',
    'view_sessions.csv': 'view_sessions',
    'x (1).csv': 'y',
    'z*': 'z',
  }
  expect(await lookedAt(source, { files })).toMatchObject({
    tables: {
      step: 'event by mapping',
      step_02: 'event by mapping',
      pageviews: 'pageviews by mapping',
      view_sessions: 'event by mapping',
      y: 'event by mapping',
    },
    stops: [],
    notices: ['The mapping has files."z*", but no file fits it'],
  })
})

test('plan shows what has told each table, and stops with the key that mends it', async () => {
  const cwd = await written({
    'e/signup/part-0.csv': event,
    'e/users (1).csv': users,
    'heap-export/part-0.csv': event,
    'm.yaml': 'files: { "part-0*": buy }',
  })
  const plan = (...args: string[]) =>
    heapferryHere(['plan', ...args], { cwd, env: { HEAPFERRY_HOME: path.join(cwd, 'home') } })
  const { stdout } = await plan('e')
  expect(stdout).toContain('signup (by folder): 1 rows')
  expect(stdout).toContain('users (by name): 1 rows')
  expect((await plan('heap-export')).stdout).toContain('nothing can be migrated before that is mended')
  expect((await plan('heap-export', '--mapping', 'm.yaml')).stdout).toContain('buy (by the mapping file): 1 rows')
  const { tables } = JSON.parse((await plan('e', '--json')).stdout)
  expect(tables).toMatchObject([{ told_by: ['name'] }, { told_by: ['folder'] }])
})

test('a run keeps the tables that it was created with, although files that come later tell names otherwise', async () => {
  const cwd = await written({ 'e/signup_20230501.csv': event })
  const env = { HEAPFERRY_HOME: path.join(cwd, 'home'), REDIS_URL: server.server.url }
  const enqueue = () => heapferryHere(['enqueue', 'e', '--run', 'kept', '--to', 'jsonl:out'], { cwd, env })
  expect((await enqueue()).stderr).toContain("is taken for the writer's")
  await writeFile(path.join(cwd, 'e/pageviews.csv'), event)
  // As after a loss of the queue: everything is planned again.
  const queue = new ChunkQueue(server.redis, RunId.parse('kept'), 'events', () => {})
  await queue.remove()
  await queue.close()
  expect((await enqueue()).stderr).toContain('is taken for a part of the name')
  const files = await redisLedger(server.redis).files(RunId.parse('kept'))
  const ofExport = files.filter((file) => file.in === undefined)
  expect(ofExport.map(({ table }) => table.name).toSorted()).toEqual(['pageviews', 'signup'])
})

test('rows that two files of one table hold are told, with the files', async () => {
  const cwd = await written({ 'e/signup.csv': event, 'e/signup (1).csv': event, 'e/buy.csv': event })
  const { stdout } = await heapferryHere(['plan', 'e'], { cwd, env: { HEAPFERRY_HOME: path.join(cwd, 'home') } })
  expect(stdout.replaceAll(/\s+/g, ' ')).toContain(
    'signup: 1 of 1 rows of signup.csv that were looked at are in signup (1).csv too. PostHog keeps one of each',
  )
  expect(stdout).not.toContain('buy: 1 of 1')
})

test('rows that two files hold are told when the files come, and not again whenever the run goes on', async () => {
  const cwd = await written({ 'e/signup.csv': event, 'e/signup (1).csv': event })
  const env = { HEAPFERRY_HOME: path.join(cwd, 'home'), REDIS_URL: server.server.url }
  const enqueue = () => heapferryHere(['enqueue', 'e', '--run', 'told', '--to', 'jsonl:out'], { cwd, env })
  expect((await enqueue()).stderr).toContain('PostHog keeps one of each')
  expect((await enqueue()).stderr).not.toContain('PostHog keeps one of each')
  await writeFile(path.join(cwd, 'e/signup (2).csv'), event)
  expect((await enqueue()).stderr).toContain('PostHog keeps one of each')
})
