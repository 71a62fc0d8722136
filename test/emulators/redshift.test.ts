import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { Report } from '@heapferry/migration'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { linesBelow, makeHeap, schema, sourceOf, unloadByHand } from './heap-in-postgres.ts'
import { startPostgres, type TestPostgres } from './start-postgres.ts'

const password = 'correct horse 7c1f'
const server = redisForTests()
let postgres: TestPostgres
let folder: string

beforeAll(async () => {
  postgres = await startPostgres('scram-sha-256')
  await postgres.query(`create role heapferry login password '${password}'`)
})
afterAll(() => postgres.close())
beforeEach(async () => {
  folder = await temporaryFolder()
  await server.redis.flushall()
})

const tables = ['users', 'user_migrations', 'pageviews', 'clicked_buy', 'nothing_yet']

const source = (): string => sourceOf(postgres, 'heapferry')

async function granted(): Promise<void> {
  await postgres.query(
    `grant usage on schema ${schema} to heapferry; grant select on all tables in schema ${schema} to heapferry`,
  )
}

function surroundings(home: string): { env: Record<string, string>; cwd: string } {
  return {
    env: { HEAPFERRY_HOME: path.join(folder, home), REDIS_URL: server.server.url, PGPASSWORD: password },
    cwd: folder,
  }
}

function eventsOf(home: string): string {
  return path.join(folder, home, 'events')
}

function flags(home: string): string[] {
  return ['--to', `jsonl:${eventsOf(home)}`, '--run', 'r']
}

/** By the command, of a Redis that knows nothing of others. */
async function migrated(from: string, home: string) {
  await server.redis.flushall()
  const ended = await heapferry(['run', from, ...flags(home), '--workers', '1', '--no-dashboard'], surroundings(home))
    .ended
  return { ...ended, lines: await linesBelow(eventsOf(home)) }
}

describe('a schema with all that is hard to carry', () => {
  beforeAll(async () => {
    await makeHeap(postgres)
    await granted()
  })

  test('it becomes the same events, byte for byte, as the same tables unloaded by hand to CSV', async () => {
    await unloadByHand(postgres, path.join(folder, 'csv'), tables)
    const [ours, byHand] = [await migrated(source(), 'ours'), await migrated(path.join(folder, 'csv'), 'hand')]
    expect(ours.stderr).toContain(
      'Not unloaded, as no event is made of them (no user_id and time, or only copies): all_events, big_spenders',
    )
    expect(byHand.lines.length).toBeGreaterThan(3700)
    expect(ours.lines).toEqual(byHand.lines)
  })

  test('plan tells numbers, windows and columns, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await heapferryHere(['plan', source(), '--json'], surroundings('home'))
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const plan = JSON.parse(stdout)
    expect(plan.tables.map(({ table, rows }: { table: string; rows: object }) => [table, rows])).toEqual([
      ['user_migrations', exact(40)],
      ['users', exact(200)],
      ['_sync_info', exact(1)],
      ['clicked_buy', exact(500)],
      ['nothing_yet', exact(0)],
      ['pageviews', exact(4007)],
    ])
    expect(plan.notices).toEqual([
      expect.stringContaining('6 tables with 4748 rows, to be unloaded in 6 windows into about 1 MB'),
      expect.stringContaining('all_events, big_spenders'),
      'Unloaded whole before anything is sent: pageviews, user_migrations, users. Other tables are sent while they are unloaded',
    ])
    const pageviews = plan.tables.find(({ table }: { table: string }) => table === 'pageviews')
    expect(pageviews.columns.map(({ column }: { column: string }) => column)).toContain('plan name')
    expect(pageviews.bytes).toBeGreaterThan(50_000)
    expect(await readdir(folder)).toEqual([])
  })

  test('what a mapping says of tables and columns is held against all of the warehouse, by a plan and before any of it is unloaded', async () => {
    await server.redis.flushall()
    const mapping = path.join(folder, 'heapferry.yaml')
    const said = {
      properties: { price: 'drop', emial: 'drop' },
      tables: {
        clicked_buy: { properties: { colour: 'drop', color: 'drop' } },
        clicked_by: {},
        big_spenders: { kind: 'skip' },
        big_spender: { kind: 'skip' },
      },
    }
    await writeFile(mapping, JSON.stringify(said))
    const args = ['run', source(), ...flags('mapped'), '--mapping', mapping, '--workers', '1', '--no-dashboard']
    const { stderr } = await heapferry(args, surroundings('mapped')).ended
    const told = [
      'The mapping has properties.emial, but no table has such a column; did you mean email?',
      'The mapping has tables.clicked_buy.properties.color, but clicked_buy has no such column; did you mean colour?',
      'The mapping has tables.clicked_by, but the export has no such table; did you mean clicked_buy?',
      'The mapping has tables.big_spender, but the export has no such table; did you mean big_spenders?',
    ]
    expect(stderr.match(/The mapping has .*/g)).toEqual(told)
    const planned = await heapferryHere(['plan', source(), '--mapping', mapping, '--json'], surroundings('mapped'))
    const { notices } = JSON.parse(planned.stdout)
    expect(notices.filter((notice: string) => notice.startsWith('The mapping has '))).toEqual(told)
  })

  test('the password is nowhere but in the process: not in Redis, files, logs, reports or what is printed', async () => {
    const ours = await migrated(source(), 'ours')
    expect(ours.code).toBe(3)
    const later = [
      ['status', 'r', '--json'],
      ['report', 'r'],
      ['rejected', 'r'],
    ]
    const said = [ours.stdout, ours.stderr]
    for (const args of later) {
      const { stdout, stderr } = await heapferryHere(args, surroundings('ours'))
      said.push(stdout, stderr)
    }
    const wrong = await heapferryHere(['plan', source()], {
      ...surroundings('ours'),
      env: { ...surroundings('ours').env, PGPASSWORD: `${password}!` },
    })
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toMatch(/says: password authentication failed for user "heapferry" \(28P01\)\n.*PGPASSWORD/)
    said.push(wrong.stdout, wrong.stderr)
    for (const key of await server.redis.keys('*')) said.push(await dumped(key))
    const files = await readdir(folder, { recursive: true, withFileTypes: true })
    for (const file of files.filter((one) => one.isFile()))
      said.push((await readFile(path.join(file.parentPath, file.name))).toString('latin1'))
    expect(files.map(({ name }) => name)).toContain('stage.json')
    expect(said.filter((text) => text.includes(password))).toEqual([])
    expect(said.filter((text) => text.includes(source().slice(0, 30))).length).toBeGreaterThan(0)
  })

  test('all that comes after reads the stage: the same command, verify, rejected and retry need no password and no warehouse', async () => {
    await migrated(source(), 'ours')
    const { PGPASSWORD: _, ...env } = surroundings('ours').env
    const without = { env: { ...env, HOME: folder }, cwd: folder }
    const again = await heapferry(['run', source(), ...flags('ours'), '--workers', '1', '--no-dashboard'], without)
      .ended
    expect([again.code, again.stderr.includes('PGPASSWORD')]).toEqual([3, false])
    const verified = await heapferryHere(['verify', 'r', '--offline'], without)
    expect([verified.code, verified.stdout]).toEqual([0, expect.stringContaining('pageviews')])
    const rejected = await heapferryHere(['rejected', 'r', '--out', 'rows.csv'], without)
    expect(rejected.code).toBe(0)
    expect(await readFile(path.join(folder, 'rows.csv'), 'utf8')).toContain('infinity')
    const mapping = path.join(folder, 'heapferry.yaml')
    await writeFile(mapping, 'tables: { pageviews: { properties: { title: drop } } }\n')
    for (const changed of [[], ['--mapping', mapping]]) {
      const retried = await heapferryHere(['retry', 'r', '--to', `jsonl:${eventsOf('ours')}`, ...changed], without)
      expect(`${retried.stdout}${retried.stderr}`).toContain('0 sent, 0 skipped, 6 rejected again')
    }
  })

  test('the report names the warehouse, how each table was read and when, its rows and bytes, and when the stage may be deleted', async () => {
    await postgres.query(
      `create or replace view ${schema}.all_events as select event_id, time, user_id, 'pageviews'::varchar as event_table_name from ${schema}.pageviews union all select 1, time, user_id, 'pageviews' from ${schema}.clicked_buy limit 4010`,
    )
    const before = Date.now()
    const { stderr } = await migrated(source(), 'ours')
    const told = 'all_events counts otherwise than what was unloaded: pageviews (4010 there, 4007 unloaded)'
    expect(stderr).toContain(told)
    const { stdout } = await heapferryHere(['report', 'r', '--json'], surroundings('ours'))
    const { warehouse } = Report.parse(JSON.parse(stdout))
    const stage = path.join(folder, 'ours/runs/r/stage')
    expect(warehouse).toMatchObject({ address: source(), stage, rows: 4748, notices: [told] })
    const pageviews = warehouse?.tables.find(({ table }) => table === 'pageviews')
    const [file = ''] = await readdir(path.join(stage, 'pageviews'))
    const { size } = await stat(path.join(stage, 'pageviews', file))
    expect(pageviews).toMatchObject({ statement: '7 columns of pageviews', files: 1, rows: 4007, bytes: size })
    const readAt = Date.parse(pageviews?.first_snapshot_at ?? '')
    expect([readAt >= before, readAt <= Date.now()]).toEqual([true, true])
    expect(warehouse?.deletion).toMatch(
      /^When the 6 rows that were rejected or held back are retried.*heapferry clean r$/,
    )
    const page = await readFile(path.join(folder, 'ours/runs/r/report.html'), 'utf8')
    for (const text of [source(), stage, '7 columns of pageviews', '4,748 rows', told, 'heapferry clean r'])
      expect(page).toContain(text)
  })

  test('cleaned, what was unloaded is gone for good, and nothing is unloaded again under the name of the run', async () => {
    await migrated(source(), 'ours')
    await server.redis.hset('heapferry-ledger:run:r', 'producedAtMs', Date.now() - 11_000)
    const cleaned = await heapferryHere(['clean', 'r', '--yes', '--json'], surroundings('ours'))
    expect([cleaned.code, cleaned.stderr]).toEqual([0, expect.stringContaining('cannot read its rows any more')])
    const told = JSON.parse(cleaned.stdout)
    expect(told.deleted[0]).toMatchObject({ what: 'stage', files: 7 })
    expect(told.left.filter((file: string) => file.startsWith('stage'))).toEqual([])
    const left = await readdir(path.join(folder, 'ours/runs'), { recursive: true })
    expect(left.filter((file) => /stage|identities|grant/.test(file))).toEqual([])
    const again = await heapferryHere(['enqueue', source(), ...flags('ours')], surroundings('ours'))
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('what was unloaded for it was deleted by')])
    expect((await readdir(path.join(folder, 'ours/runs/r'))).filter((name) => name === 'stage')).toEqual([])
    const retried = await heapferryHere(['retry', 'r', '--to', `jsonl:${eventsOf('ours')}`], surroundings('ours'))
    expect([retried.code, retried.stderr]).toEqual([1, expect.stringContaining('heapferry clean')])
    expect((await heapferryHere(['report', 'r', '--json'], surroundings('ours'))).code).toBe(0)
  })

  test('two commands at once: one waits for the other, and nothing is unloaded twice', async () => {
    const enqueue = () => heapferry(['enqueue', source(), ...flags('ours')], surroundings('ours')).ended
    const both = await Promise.all([enqueue(), enqueue()])
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    const files = await readdir(path.join(folder, 'ours/runs/r/stage'), { recursive: true })
    expect(files.filter((file) => file.endsWith('.avro'))).toHaveLength(6)
    await heapferry(['run', source(), ...flags('ours'), '--workers', '1', '--no-dashboard'], surroundings('ours')).ended
    const ours = await linesBelow(eventsOf('ours'))
    await unloadByHand(postgres, path.join(folder, 'csv'), tables)
    expect(ours).toEqual((await migrated(path.join(folder, 'csv'), 'hand')).lines)
  })

  test('without the npm package pg it says what to install', async () => {
    const root = path.resolve(import.meta.dirname, '../..')
    cpSync(path.join(root, 'dist'), path.join(folder, 'dist'), { recursive: true })
    mkdirSync(path.join(folder, 'node_modules'))
    for (const name of readdirSync(path.join(root, 'node_modules')).filter((one) => one !== 'pg'))
      symlinkSync(path.join(root, 'node_modules', name), path.join(folder, 'node_modules', name))
    const { stderr, code } = await heapferry(
      ['plan', source()],
      surroundings('home'),
      path.join(folder, 'dist/heapferry.mjs'),
    ).ended
    expect(code).toBe(1)
    expect(stderr).toMatch(/^heapferry: A Redshift is read by the npm package pg, which is not installed.*\n.*npm i pg/)
  })
})

describe('columns of all types', () => {
  const rows = [
    { n: 1, long: 9007199254740993n, whole: 7, yes: true, double: 0.1 + 0.2, real: Math.fround(0.1), text: 'a' },
    { n: 2, long: -9223372036854775808n, whole: -7, yes: false, double: 1e20, real: Math.fround(16777217), text: '' },
    { n: 3, long: null, whole: null, yes: null, double: null, real: null, text: null },
    { n: 4, long: 0n, whole: 0, yes: true, double: 1234567.1234567, real: Math.fround(1e-7), text: 'd' },
  ]

  test('they become the same events as the same table in Parquet', async () => {
    await postgres.query(`drop schema if exists ${schema} cascade; create schema ${schema}; set search_path to ${schema};
      create table users (user_id bigint, identity varchar);
      create table typed (event_id bigint, user_id bigint, time timestamptz, long bigint, whole integer, yes boolean, double double precision, real real, text char(6));`)
    for (const { n, long, whole, yes, double, real, text } of rows)
      await postgres.query(
        `insert into ${schema}.typed values (${n}, 5, '2023-01-02 03:04:05.6+02', ${long}, ${whole}, ${yes}, ${double}, ${real}, ${text === null ? null : `'${text}'`})`,
      )
    await granted()
    const into = path.join(folder, 'parquet')
    mkdirSync(into)
    await unloadByHand(postgres, into, ['users'])
    const bytes = parquetWriteBuffer({
      columnData: [
        { name: 'event_id', type: 'INT64', data: rows.map(({ n }) => BigInt(n)) },
        { name: 'user_id', type: 'INT64', data: rows.map(() => 5n) },
        { name: 'time', type: 'STRING', data: rows.map(() => '2023-01-02 01:04:05.6') },
        { name: 'long', type: 'INT64', data: rows.map(({ long }) => long) },
        { name: 'whole', type: 'INT32', data: rows.map(({ whole }) => whole) },
        { name: 'yes', type: 'BOOLEAN', data: rows.map(({ yes }) => yes) },
        { name: 'double', type: 'DOUBLE', data: rows.map(({ double }) => double) },
        { name: 'real', type: 'FLOAT', data: rows.map(({ real }) => real) },
        { name: 'text', type: 'STRING', data: rows.map(({ text }) => text) },
      ],
    })
    await writeFile(path.join(into, 'typed.parquet'), Buffer.from(bytes))
    const [ours, byHand] = [await migrated(source(), 'ours'), await migrated(into, 'hand')]
    expect(byHand.lines).toHaveLength(4)
    expect(byHand.lines.join('\n')).toContain('"yes":true')
    expect(ours.lines).toEqual(byHand.lines)
  })
})

test('a producer that is killed wherever it is goes on, reads no sealed window again, and its events are those of CSV', async () => {
  await makeHeap(postgres)
  await postgres.query(`set search_path to ${schema};
    create table taps (event_id bigint, user_id bigint, time timestamp, colour varchar);
    insert into taps select n, 9007199254740994 + n % 200, timestamp '2023-01-01' + n * interval '1 minute', 'red' from generate_series(1, 210000) n`)
  await granted()
  const stage = path.join(folder, 'ours/runs/r/stage')
  const sealedAt = async () => {
    const text = await readFile(path.join(stage, 'stage.json'), 'utf8').catch(() => null)
    const parts = text === null ? [] : [...text.matchAll(/"path":"([^"]+)"/g)].map(([, one]) => String(one))
    const files = parts.map(async (one) => [
      one,
      (await stat(path.join(stage, one))).mtimeMs,
      await readFile(path.join(stage, one), 'latin1'),
    ])
    return { isPlanned: text !== null, files: await Promise.all(files) }
  }
  await server.redis.flushall()
  for (const [what, isThere] of [
    ['it is planned', async () => (await sealedAt()).isPlanned],
    ['people are sealed', async () => (await sealedAt()).files.length >= 2],
    ['a window of taps is there', async () => (await readdir(path.join(stage, 'taps')).catch(() => [])).length >= 1],
    [
      'two windows of taps are there',
      async () => (await readdir(path.join(stage, 'taps')).catch(() => [])).length >= 2,
    ],
    ['all is sealed', async () => (await sealedAt()).files.length >= 8],
  ] as const) {
    const producer = heapferry(['enqueue', source(), ...flags('ours')], surroundings('ours'))
    await until(what, isThere)
    producer.child.kill('SIGKILL')
    await producer.ended
    const { files } = await sealedAt()
    const next = heapferry(['enqueue', source(), ...flags('ours')], surroundings('ours'))
    await until('it goes on', async () => (await sealedAt()).isPlanned)
    next.child.kill('SIGKILL')
    await next.ended
    expect((await sealedAt()).files).toEqual(expect.arrayContaining(files))
  }
  const ended = await heapferry(
    ['run', source(), ...flags('ours'), '--workers', '1', '--no-dashboard'],
    surroundings('ours'),
  ).ended
  expect(ended.code).toBe(3)
  const timeline = (await heapferryHere(['report', 'r', '--json'], surroundings('ours'))).stdout
  expect(timeline).toContain('"kind":"unloaded"')
  const ours = await linesBelow(eventsOf('ours'))
  await unloadByHand(postgres, path.join(folder, 'csv'), [...tables, 'taps'])
  const byHand = await migrated(path.join(folder, 'csv'), 'hand')
  expect(ours.length).toBeGreaterThan(210_000)
  expect(ours.length).toBe(byHand.lines.length)
  expect(ours.findIndex((line, index) => line !== byHand.lines[index])).toBe(-1)
}, 900_000)

test('Ctrl-C ends a statement that is waited for, in the cluster too, be it of a plan, of a run that looks at what there is or of one that unloads', async () => {
  await makeHeap(postgres)
  await granted()
  const other = new pg.Client({ host: '127.0.0.1', port: postgres.port, user: 'postgres', database: 'postgres' })
  await other.connect()
  onTestFinished(() => other.end())
  const statements = async (): Promise<number> =>
    (await postgres.query(`select 1 from pg_stat_activity where usename = 'heapferry' and wait_event_type = 'Lock'`))
      .length
  const lock = (): Promise<unknown> => other.query(`begin; lock table ${schema}.pageviews in access exclusive mode`)
  async function stopped(command: ReturnType<typeof heapferry>): Promise<void> {
    await until('a statement waits', async () => (await statements()) > 0)
    command.child.kill('SIGINT')
    expect(await command.ended).toMatchObject({ code: 130, stderr: expect.not.stringContaining('→') })
    expect(await statements()).toBe(0)
  }
  const run = ['run', source(), ...flags('ours'), '--workers', '1', '--no-dashboard']
  const enqueue = ['enqueue', source(), ...flags('ours')]
  await lock()
  for (const args of [['plan', source()], enqueue, run]) await stopped(heapferry(args, surroundings('ours')))
  expect((await heapferryHere(['status', 'r'], surroundings('ours'))).stderr).toContain('There is no run r')
  await other.query('rollback')

  const unloads = heapferry(run, surroundings('ours'))
  await until('people are unloaded', async () => (await unloaded()).includes('"path":"users/'))
  await lock()
  await stopped(unloads)
  await other.query('rollback')
  expect((await heapferry(run, surroundings('ours')).ended).code).toBe(3)
  await unloadByHand(postgres, path.join(folder, 'csv'), tables)
  const ours = await linesBelow(eventsOf('ours'))
  expect(ours).toEqual((await migrated(path.join(folder, 'csv'), 'hand')).lines)

  async function unloaded(): Promise<string> {
    return readFile(path.join(folder, 'ours/runs/r/stage/stage.json'), 'utf8').catch(() => '')
  }
})

function exact(count: number): object {
  return { count, exact: true }
}

/** A key of Redis as text, whatever it is. */
async function dumped(key: string): Promise<string> {
  return `${key} ${(await server.redis.dumpBuffer(key))?.toString('latin1')}`
}
