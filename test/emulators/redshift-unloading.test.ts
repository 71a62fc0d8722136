import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { defaultMapping, type Mapping } from '@heapferry/domain'
import {
  inspectExport,
  openPlace,
  openUnloading,
  openWarehouse,
  type S3Options,
  sourceAt,
  type Warehouse,
} from '@heapferry/sources'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { awsForTests } from '../support/aws-for-tests.ts'
import { temporaryFolder } from '../support/folder.ts'
import { noS3 } from '../support/place.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { schema, sourceOf } from './heap-in-postgres.ts'
import { startPostgres, type TestPostgres } from './start-postgres.ts'

awsForTests()

let postgres: TestPostgres
let folder: string

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.close())

const tapRows = 250_000

beforeEach(async () => {
  folder = await temporaryFolder()
  await postgres.query(`
    drop schema if exists ${schema} cascade;
    create schema ${schema};
    set search_path to ${schema};
    create table users (user_id bigint, identity varchar);
    insert into users values (1, 'ada');
    create table taps (event_id bigint, user_id bigint, time timestamp, colour varchar);
    insert into taps select n, n % 1000, timestamp '2023-01-01' + n * interval '1 minute', 'red' from generate_series(1, ${tapRows}) n;
    create table _sync_info (synced_at timestamp);
    insert into _sync_info values ('2024-01-01');
  `)
})

async function opened({
  port = postgres.port,
  user = 'postgres',
  timeoutMs = 60_000,
  mapping = defaultMapping,
  root = path.join(folder, 'stage'),
  s3 = noS3,
}: {
  root?: string
  s3?: S3Options
  port?: number
  user?: string
  timeoutMs?: number
  mapping?: Mapping
} = {}) {
  const waits: (string | null)[] = []
  const options = { passwordFor: () => 'any', tls: undefined, timeoutMs }
  const warehouse = await openWarehouse(sourceOf({ port }, user), options, { onWait: (reason) => waits.push(reason) })
  onTestFinished(() => warehouse.close())
  const place = await openPlace(root, s3)
  const unloading = await openUnloading(place, { warehouse, mapping })
  return { waits, warehouse, place, unloading }
}

type Opened = Awaited<ReturnType<typeof opened>>

async function* unloaded({ unloading, warehouse }: Opened, onRows: (rows: number) => void = () => {}) {
  const signal = new AbortController().signal
  yield* unloading.unload(() => true, {
    warehouse,
    holding: async () => {},
    signal,
    onProgress: ({ rows }) => onRows(rows),
  })
}

async function toEnd(open: Opened): Promise<string[]> {
  const notices: string[] = []
  for await (const { told } of unloaded(open)) if (told?.notice) notices.push(told.notice)
  return notices
}

/** What is in the stage of a column of taps. */
async function staged({ place, unloading }: Opened, column: string): Promise<string[]> {
  const discovery = { place, files: unloading.sealed().filter(({ table }) => table === 'taps'), notices: [] }
  const values: string[] = []
  for (const one of await inspectExport(discovery, defaultMapping)) {
    if (one.kind === 'faulty') throw one.fault
    for (const file of one.files)
      for await (const slice of sourceAt(place).readAll(file))
        for (const row of slice.rows)
          values.push(row.kind === 'row' ? (row.values[row.columns.indexOf(column)] ?? '') : 'unreadable')
  }
  return values
}

/** The sealed files with their bytes and moments. */
async function sealedFiles({ place, unloading }: Opened) {
  return Promise.all(
    unloading.sealed().map(async ({ path: file }) => {
      const { mtimeMs } = await stat(path.join(place.root, file))
      return [file, mtimeMs, (await readFile(path.join(place.root, file))).toString('base64').length]
    }),
  )
}

const allIds = Array.from({ length: tapRows }, (_, index) => String(index + 1)).toSorted()

test('a table is read in windows of a hundred thousand rows, which tile it', async () => {
  const open = await opened()
  expect(await toEnd(open)).toEqual([])
  const taps = open.unloading.stage.tables.find(({ table }) => table === 'taps')
  expect(taps?.windows.map(({ expected }) => expected)).toEqual([99_359, 99_360, 51_281])
  expect((await staged(open, 'event_id')).toSorted()).toEqual(allIds)
})

test('rows that are changed, added or taken out between two windows: no event comes twice, and it is told', async () => {
  const open = await opened()
  const notices: string[] = []
  let changed = false
  for await (const { files, told } of unloaded(open)) {
    if (told?.notice) notices.push(told.notice)
    if (changed || !files.some(({ table }) => table === 'taps')) continue
    changed = true
    await postgres.query(`
      update ${schema}.taps set user_id = 5;
      insert into ${schema}.taps values (0, 1, '2022-01-01', 'late');
      delete from ${schema}.taps where event_id > ${tapRows - 10};
      update ${schema}._sync_info set synced_at = '2024-01-02'`)
  }
  const ids = await staged(open, 'event_id')
  expect(ids.length).toBe(tapRows - 10)
  expect(new Set(ids).size).toBe(ids.length)
  expect(notices).toEqual([
    `taps had rows taken out while it was unloaded, or moved to another time: ${tapRows - 10} were unloaded, ${tapRows - 9} are there now`.replace(
      'had rows taken out while it was unloaded, or moved to another time',
      'got rows while it was unloaded, which are left out',
    ),
    expect.stringContaining('Heap synced into the warehouse while it was unloaded'),
  ])
})

test.each([
  ['renamed', 'alter table taps rename column colour to color', 'alter table taps rename column color to colour'],
  ['dropped', 'alter table taps drop column colour', `alter table taps add column colour varchar default 'red'`],
  [
    'made text',
    `alter table taps alter column user_id type varchar using 'u-' || user_id`,
    'alter table taps alter column user_id type bigint using substr(user_id, 3)::bigint',
  ],
])('a column that is %s between two windows stops it, and put back it goes on', async (_, alter, back) => {
  const open = await opened()
  const windows = unloaded(open)
  let sealed = await windows.next()
  while (!sealed.done && !sealed.value.files.some(({ table }) => table === 'taps')) sealed = await windows.next()
  const before = await sealedFiles(open)
  await postgres.query(`set search_path to ${schema}; ${alter}`)
  await expect(windows.next()).rejects.toMatchObject({
    name: 'SourceChanged',
    message: expect.stringContaining('taps was altered in the warehouse since it was planned'),
  })
  await postgres.query(`set search_path to ${schema}; ${back}`)
  const again = await opened()
  await toEnd(again)
  expect(await sealedFiles(again)).toEqual(expect.arrayContaining(before))
  expect((await staged(again, 'event_id')).toSorted()).toEqual(allIds)
})

test('a column that was added stays out, a number that became larger is taken, and a table that was made anew is read on', async () => {
  const open = await opened()
  const windows = unloaded(open)
  let sealed = await windows.next()
  while (!sealed.done && !sealed.value.files.some(({ table }) => table === 'taps')) sealed = await windows.next()
  await postgres.query(`set search_path to ${schema};
    create table anew as select *, 'x'::varchar as later from taps; drop table taps; alter table anew rename to taps;
    alter table taps alter column user_id type numeric(30, 0)`)
  for await (const _ of windows);
  expect((await staged(open, 'event_id')).toSorted()).toEqual(allIds)
})

test('a connection that is ended in the middle of a window costs that window, and no half of it is kept', async () => {
  const open = await opened()
  let ended = false
  for await (const _ of unloaded(open, (rows) => {
    if (ended || rows < 150_000) return
    ended = true
    void postgres.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'heapferry'`)
  }));
  expect(open.waits).toEqual([expect.stringMatching(/terminat/), null])
  expect((await staged(open, 'event_id')).toSorted()).toEqual(allIds)
})

test('a network that loses everything is noticed when the warehouse is silent for too long', async () => {
  const proxy = await startTcpProxy(postgres.port)
  const open = await opened({ port: proxy.port, timeoutMs: 3000 })
  let dropped = false
  for await (const _ of unloaded(open, (rows) => {
    if (dropped || rows < 50_000) return
    dropped = true
    proxy.dropOpen()
  }));
  expect(open.waits).toEqual([expect.stringMatching(/timeout/i), null])
  expect((await staged(open, 'event_id')).toSorted()).toEqual(allIds)
})

test('a warehouse without room for another session is waited for', async () => {
  await postgres.query(`drop role if exists crowded; create role crowded login connection limit 0;
    grant usage on schema ${schema} to crowded; grant select on all tables in schema ${schema} to crowded`)
  const waits: (string | null)[] = []
  const options = { passwordFor: () => 'any', tls: undefined, timeoutMs: 60_000 }
  const warehouse: Warehouse = await openWarehouse(sourceOf(postgres, 'crowded'), options, {
    onWait: (reason) => waits.push(reason),
  })
  onTestFinished(() => warehouse.close())
  const catalogue = warehouse.catalogue()
  await until('it waits', () => waits.length > 0)
  await postgres.query('alter role crowded connection limit -1')
  expect((await catalogue).relations.map(({ name }) => name).toSorted()).toEqual(['_sync_info', 'taps', 'users'])
  expect(waits[0]).toContain('too many connections for role')
})

test('a statement that takes too long says so, and what to set', async () => {
  await postgres.query(
    `create view ${schema}.slow as select event_id, user_id, time, pg_sleep(0.01)::varchar as nap from ${schema}.taps`,
  )
  await expect(opened({ timeoutMs: 1000, mapping: defaultMapping }).then(toEnd)).rejects.toMatchObject({
    message: expect.stringContaining('statement timeout (57014)'),
    hint: expect.stringContaining('HEAPFERRY_WAREHOUSE_TIMEOUT'),
  })
})

test('a certificate that nobody has signed is refused, unless it is said that anybody is believed', async () => {
  const other = await startPostgres('trust', { tls: true })
  onTestFinished(() => other.close())
  await other.query('create schema main_production; create table main_production.users (user_id bigint)')
  const through = async (tls: 'verify' | 'unverified' | 'off' | undefined) => {
    const options = { passwordFor: () => 'any', tls, timeoutMs: 10_000 }
    const warehouse = await openWarehouse(sourceOf(other), options)
    onTestFinished(() => warehouse.close())
    await warehouse.catalogue()
    const sessions = await other.query(
      `select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'heapferry' order by backend_start desc limit 1`,
    )
    return sessions[0]
  }
  await expect(through('verify')).rejects.toMatchObject({
    message: expect.stringContaining('self-signed certificate'),
    hint: expect.stringContaining('HEAPFERRY_WAREHOUSE_TLS'),
  })
  expect(await through('unverified')).toEqual({ ssl: true })
  // On this machine, where nobody is in between.
  expect(await through(undefined)).toEqual({ ssl: false })
  const options = { passwordFor: () => 'any', tls: 'verify' as const, timeoutMs: 10_000 }
  const plain = await openWarehouse(sourceOf(postgres), options)
  await expect(plain.catalogue()).rejects.toThrow(/does not support SSL/)
})

test('a table that may not be read is named with the statement that allows it', async () => {
  await postgres.query(`drop role if exists stranger; create role stranger login;
    grant usage on schema ${schema} to stranger; grant select on ${schema}.users to stranger`)
  await expect(opened({ user: 'stranger' })).rejects.toMatchObject({
    message: `stranger may not read 2 tables _sync_info, taps of the schema ${schema}`,
    hint: expect.stringContaining(`GRANT SELECT ON ALL TABLES IN SCHEMA "${schema}" TO "stranger"`),
  })
})

test.skipIf(!canMount())('a full disk is told with its place, and with room again the same goes on', async () => {
  mkdirSync(path.join(folder, 'stage'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1200k', 'tmpfs', path.join(folder, 'stage')])
  onTestFinished(() => void execFileSync('umount', [path.join(folder, 'stage')]))
  const open = await opened()
  await expect(toEnd(open)).rejects.toMatchObject({
    message: expect.stringContaining(`${path.join(folder, 'stage')} cannot be written to: ENOSPC`),
    hint: expect.stringContaining('what is unloaded stays'),
  })
  const before = await sealedFiles(open)
  expect(before.length).toBeGreaterThan(1)
  execFileSync('mount', ['-o', 'remount,size=50m', path.join(folder, 'stage')])
  const again = await opened()
  await toEnd(again)
  expect(await sealedFiles(again)).toEqual(expect.arrayContaining(before))
  expect((await staged(again, 'event_id')).toSorted()).toEqual(allIds)
})

test('a stage may lie in a bucket', async () => {
  const store = await startS3StandIn()
  onTestFinished(() => store.close())
  const s3: S3Options = { endpoint: store.endpoint, pathStyle: true, requesterPays: false }
  const root = `s3://${store.bucket}/work/r/stage`
  await toEnd(await opened({ root, s3 }))
  const again = await opened({ root, s3 })
  expect(again.unloading.isWhole()).toBe(true)
  expect((await staged(again, 'event_id')).toSorted()).toEqual(allIds)
})

test('what was unloaded whole is read without the warehouse, which may be gone', async () => {
  await toEnd(await opened())
  await postgres.query(`drop schema ${schema} cascade`)
  const again = await opened()
  expect(again.unloading.isWhole()).toBe(true)
  expect((await staged(again, 'event_id')).toSorted()).toEqual(allIds)
  expect((await readdir(path.join(folder, 'stage'))).toSorted()).toEqual(['_sync_info', 'stage.json', 'taps', 'users'])
})

function canMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}
