import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { openWarehouse } from '@heapferry/sources'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Relation, WarehouseRow } from '../../packages/sources/src/warehouse/warehouse.ts'
import { awsForTests } from '../support/aws-for-tests.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryAnswer, heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { startS3StandIn, type TestStore } from '../support/s3-stand-in.ts'
import { until } from '../support/until.ts'
import { linesBelow, makeHeap, schema, sourceOf, unloadByHand } from './heap-in-postgres.ts'
import { iamUser } from './start-iam.ts'
import { startDataApi, type TestDataApi } from './start-data-api.ts'
import { startPostgres, type TestPostgres } from './start-postgres.ts'
import { startUnloading, type UnloadingRedshift } from './start-unloading.ts'

awsForTests()

const host = 'heap.abc123xyz.eu-west-1.redshift.amazonaws.com'
const source = `redshift-data://${host}/postgres/${schema}`

const server = redisForTests()
let postgres: TestPostgres
let store: TestStore
let redshift: UnloadingRedshift
let api: TestDataApi
let folder: string

beforeAll(async () => {
  postgres = await startPostgres()
  await postgres.query(`create role "${iamUser}" login`)
})
afterAll(() => postgres.close())
beforeEach(async () => {
  folder = await temporaryFolder()
  await server.redis.flushall()
  await makeHeap(postgres)
  // Redshift knows no infinity, and Parquet neither.
  await postgres.query(`delete from ${schema}.pageviews where time = 'infinity'`)
  await granted()
  store = await startS3StandIn()
  onTestFinished(() => store.close())
  redshift = await startUnloading(postgres.port, store)
  api = await startDataApi({ port: redshift.port, user: iamUser })
  vi.stubEnv('AWS_ENDPOINT_URL_REDSHIFT_DATA', api.endpoint)
})

async function granted(): Promise<void> {
  await postgres.query(
    `grant usage on schema ${schema} to "${iamUser}"; grant select on all tables in schema ${schema} to "${iamUser}"`,
  )
}

function surroundings(home = 'home') {
  return {
    env: {
      HEAPFERRY_HOME: path.join(folder, home),
      REDIS_URL: server.server.url,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT_URL_REDSHIFT_DATA: api.endpoint,
      HEAPFERRY_S3_ENDPOINT: store.endpoint,
      HEAPFERRY_S3_PATH_STYLE: 'true',
    },
    cwd: folder,
  }
}

const stage = (): string => `s3://${store.bucket}/heap`
const flags = (home = 'home'): string[] => ['--to', `jsonl:${path.join(folder, home, 'events')}`, '--run', 'r']
const run = (...more: string[]) => heapferryAnswer(['run', source, ...flags(), ...more], surroundings())
const enqueue = (...more: string[]) => heapferry(['enqueue', source, ...flags(), ...more], surroundings())

/** Each once: of equal rows those in one batch are sent once, and two files make other batches than one. */
async function eventsOf(home: string): Promise<string[]> {
  return [...new Set(await linesBelow(path.join(folder, home, 'events')))]
}

/** The same tables unloaded to CSV, migrated under a Redis that knows nothing of the other run. */
async function eventsByHand(...more: string[]): Promise<string[]> {
  const tables = ['users', 'user_migrations', 'pageviews', 'clicked_buy', 'nothing_yet', ...more]
  await unloadByHand(postgres, path.join(folder, 'csv'), tables)
  await server.redis.flushall()
  await heapferryAnswer(['run', path.join(folder, 'csv'), ...flags('hand')], surroundings('hand'))
  return eventsOf('hand')
}

function isTap(line: string): boolean {
  return line.includes('"taps"')
}

async function opened(address = source, cluster?: string) {
  const waits: (string | null)[] = []
  const options = {
    passwordFor: () => 'any',
    tls: undefined,
    timeoutMs: 20_000,
    redshift: { role: 'default', cluster },
  }
  const warehouse = await openWarehouse(address, options, { onWait: (reason) => waits.push(reason) })
  onTestFinished(() => warehouse.close())
  return { warehouse, waits }
}

async function relationOf(name: string, address = source): Promise<Relation> {
  const { relations } = await (await opened(address)).warehouse.catalogue()
  const found = relations.find((one) => one.name === name)
  if (found === undefined) throw new Error(`there is no ${name}`)
  return found
}

async function rowsOf(relation: Relation, address = source): Promise<WarehouseRow[]> {
  const { warehouse } = await opened(address)
  const rows: WarehouseRow[] = []
  const take = {
    onStart: () => void (rows.length = 0),
    onRows: async (batch: readonly WarehouseRow[]) => void rows.push(...batch),
  }
  expect(await warehouse.read(relation, { kind: 'whole' }, take)).toBe(rows.length)
  return rows
}

describe('without a way to the port', () => {
  test('it becomes the same events, byte for byte, as the same tables unloaded by hand to CSV', async () => {
    const { code, stderr } = await run()
    expect([code, stderr]).toEqual([3, expect.stringContaining('all_events, big_spenders')])
    const named = api.asked.filter(({ operation }) => operation === 'BatchExecuteStatement')
    expect(new Set(named.map(({ target, region }) => `${target} ${region}`))).toEqual(
      new Set(['cluster heap eu-west-1']),
    )
    const ours = await eventsOf('home')
    expect(ours.length).toBeGreaterThan(3500)
    expect(ours).toEqual(await eventsByHand())
  })

  test('plan tells numbers and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await heapferryHere(['plan', source, '--json'], surroundings())
    expect([code, stderr]).toEqual([0, ''])
    const { tables } = JSON.parse(stdout)
    expect(tables.map(({ table, rows }: { table: string; rows: { count: number } }) => [table, rows.count])).toEqual([
      ['user_migrations', 40],
      ['users', 200],
      ['_sync_info', 1],
      ['clicked_buy', 500],
      ['nothing_yet', 0],
      ['pageviews', 4006],
    ])
    expect(await readdir(folder)).toEqual([])
  })

  test('columns of all types have the text that they have on a connection', async () => {
    await postgres.query(`set search_path to ${schema};
      create table typed (event_id bigint, user_id bigint, time timestamptz, plain timestamp, day date, whole integer, small smallint, yes boolean, double double precision, real real, price numeric(30,10), text char(6), words varchar);
      insert into typed values
        (9007199254740993, -9223372036854775808, '2023-01-02 03:04:05.6+02', '1969-12-31 23:59:59.999999', '0001-01-01', 7, -7, true, 0.1::float8 + 0.2::float8, 0.1, 123456789012345678.0123456789, 'a', 'Grüße 🎉'),
        (9223372036854775807, null, '9999-12-31 23:59:59.999999Z', '2023-01-02', '9999-12-31', null, null, false, 1e20, 16777217, 1.10, '', ''),
        (0, 0, null, null, null, 0, 0, null, 1234567.1234567, 1e-7, null, null, null);
      grant select on typed to "${iamUser}"`)
    const relation = await relationOf('typed')
    const ours = await rowsOf(relation)
    expect(ours).toEqual(await rowsOf(relation, sourceOf(postgres)))
    expect(ours[0]?.slice(0, 2)).toEqual(['9007199254740993', '-9223372036854775808'])
  })

  test('what is counted and what is read are of one transaction, and rows that are missing are not taken for the end', async () => {
    const users = await relationOf('users')
    expect(await rowsOf(users)).toHaveLength(200)
    const batch = api.batches.at(-1) ?? []
    expect(batch.slice(0, 4).every((sql) => sql.startsWith('set '))).toBe(true)
    expect(batch.slice(4)).toEqual([
      `select count(*) from "${schema}"."users"`,
      expect.stringMatching(/^select \("user_id"\)::varchar, /),
    ])
    api.shortens = true
    await expect(rowsOf(users)).rejects.toThrow('users has 200 rows here, and the warehouse handed out 199')
  })

  test('a workgroup is named as one, and another host by the setting', async () => {
    const { warehouse } = await opened(
      `redshift-data://heap.example.com/postgres/${schema}`,
      'heap-wg.123456789012.eu-central-1.redshift-serverless.amazonaws.com',
    )
    expect(await warehouse.count({ name: 'users', columns: [] })).toBe(200)
    expect(api.asked[0]).toEqual({
      operation: 'BatchExecuteStatement',
      target: 'workgroup heap-wg',
      region: 'eu-central-1',
    })
  })
})

test('with --stage the cluster writes the tables, counted in the same transaction, and the events are the same', async () => {
  expect((await run('--stage', stage())).code).toBe(3)
  expect(redshift.statements).toHaveLength(6)
  const unloads = api.batches.filter((batch) => batch.some((sql) => sql.startsWith('unload ')))
  expect(unloads.map((batch) => batch.at(-2)?.replace(/"/g, ''))).toEqual(
    unloads.map(() => expect.stringMatching(/^select count\(\*\) from main_production\./)),
  )
  expect(await readdir(path.join(folder, 'home/runs/r/stage'))).toEqual(['stage.json'])
  const ours = await eventsOf('home')
  expect(ours.length).toBeGreaterThan(3500)
  expect(ours).toEqual(await eventsByHand())
})

test('a table of several windows comes whole, whatever becomes of requests and statements, and no window is sealed of half its rows', async () => {
  await postgres.query(`set search_path to ${schema};
    create table taps (event_id bigint, user_id bigint, time timestamp, colour varchar);
    insert into taps select n, 9007199254740994 + n % 200, timestamp '2023-01-01' + n * interval '1 minute', 'red' from generate_series(1, 210000) n;
    grant select on taps to "${iamUser}"`)
  const producer = enqueue()
  const ofTaps = /^select \(.*"taps" where/
  const pages = (): number => api.asked.filter(({ operation }) => operation === 'GetStatementResult').length
  await until('taps are read', () => api.batches.some((batch) => ofTaps.test(batch.at(-1) ?? '')))
  const before = pages()
  await until('some thousands of its rows are there', () => pages() > before + 10)
  api.ends.push({
    on: ofTaps,
    status: 'FAILED',
    error: 'FATAL: terminating connection due to administrator command',
  })
  api.refusals.push(
    { on: 'GetStatementResult', status: 500, code: 'InternalServerException', message: 'Not now' },
    { on: 'GetStatementResult' },
    // Not asked again by the SDK: the window is begun anew, in the middle of its rows.
    { on: 'GetStatementResult', status: 400, code: 'ActiveStatementsExceededException', message: 'Too many' },
    { on: 'BatchExecuteStatement' },
  )
  expect((await producer.ended).code).toBe(0)
  expect([api.refusals, api.ends]).toEqual([[], []])
  const stored = JSON.parse(await readFile(path.join(folder, 'home/runs/r/stage/stage.json'), 'utf8'))
  const taps = stored.tables.find(({ table }: { table: string }) => table === 'taps')
  expect(taps.windows).toHaveLength(3)
  expect((await run()).code).toBe(3)
  // Not each once: a row that is read twice is a fault here.
  const ours = (await linesBelow(path.join(folder, 'home/events'))).filter(isTap)
  const byHand = (await eventsByHand('taps')).filter(isTap)
  expect(ours.length).toBe(210_000)
  expect(ours.length).toBe(byHand.length)
  expect(ours.findIndex((line, index) => line !== byHand[index])).toBe(-1)
}, 300_000)

test.each([
  ['that reads', []],
  ['that writes into the bucket', ['--stage']],
])('a producer that is killed while a statement %s is run goes on', async (_, flag) => {
  const more = flag.length > 0 ? ['--stage', stage()] : []
  const other = new pg.Client({ host: '127.0.0.1', port: postgres.port, user: 'postgres', database: 'postgres' })
  await other.connect()
  const planned = enqueue(...more)
  await until('it is planned', async () =>
    (await readFile(path.join(folder, 'home/runs/r/stage/stage.json'), 'utf8').catch(() => '')).includes('clicked_buy'),
  )
  // Nobody reads it now: the statement waits.
  await other.query(`begin; lock table ${schema}.clicked_buy in access exclusive mode`)
  await until('a statement waits', async () => {
    const waiting = await postgres.query(`select 1 from pg_stat_activity where wait_event_type = 'Lock'`)
    return waiting.length > 0
  })
  planned.child.kill('SIGKILL')
  await planned.ended
  expect(api.running()).toBe(1)
  await other.query('rollback')
  await other.end()
  expect((await run(...more)).code).toBe(3)
  const ours = await eventsOf('home')
  expect(ours).toEqual(await eventsByHand())
})

test('AWS that asks to wait is asked again, and no statement is run twice, also where an answer is lost', async () => {
  const users = await relationOf('users')
  const { warehouse } = await opened()
  await warehouse.count(users)
  const before = api.batches.length
  const busy = { status: 400, code: 'ThrottlingException', message: 'Rate exceeded' }
  api.refusals.push(
    { on: 'BatchExecuteStatement', ...busy },
    { on: 'BatchExecuteStatement' },
    { on: 'DescribeStatement', ...busy },
    { on: 'DescribeStatement', status: 500, code: 'InternalServerException', message: 'Not now' },
    { on: 'GetStatementResult', ...busy },
    { on: 'GetStatementResult' },
  )
  expect(await warehouse.count(users)).toBe(200)
  expect(api.refusals).toEqual([])
  expect(api.batches.length).toBe(before + 1)
})

test('a cluster that works on too many statements is waited for, and it is said', async () => {
  for (let times = 0; times < 2; times++)
    api.refusals.push({
      on: 'BatchExecuteStatement',
      status: 400,
      code: 'ActiveStatementsExceededException',
      message: 'Active statements exceeded the allowed quota (500).',
    })
  const { warehouse, waits } = await opened()
  expect(await warehouse.count({ name: 'users', columns: [] })).toBe(200)
  expect(waits.at(0)).toContain('Active statements exceeded')
  expect(waits.at(-1)).toBe(null)
})

test('Ctrl-C ends a statement that is waited for, there too, be it of a plan, of a run that looks at what there is or of one that unloads', async () => {
  for (const [on, begin] of [
    [/users/, () => heapferry(['plan', source], surroundings())],
    [/users/, () => enqueue()],
    [/select .*colour/, () => enqueue()],
  ] as const) {
    api.ends.push({ on, status: 'STARTED' })
    const command = begin()
    await until(
      'it waits for a statement',
      () => api.ends.length === 0 && api.asked.at(-1)?.operation === 'DescribeStatement',
    )
    command.child.kill('SIGINT')
    expect(await command.ended).toMatchObject({ code: 130, stderr: expect.not.stringContaining('bug') })
    expect(api.asked.at(-1)).toMatchObject({ operation: 'CancelStatement' })
  }
  await run()
  expect(await eventsOf('home')).toEqual(await eventsByHand())
})

describe('a statement that fails or is ended says what to do', () => {
  const users: Relation = { name: 'users', columns: [] }

  test.each([
    ['FAILED', 'Database response exceeded size limit', '--stage s3://bucket/prefix'],
    ['FAILED', 'Packet for query is too large', '--stage s3://bucket/prefix'],
    ['FAILED', "ERROR: Query (1) canceled on user's request", 'HEAPFERRY_WAREHOUSE_TIMEOUT'],
    ['ABORTED', 'Query aborted by user', 'HEAPFERRY_WAREHOUSE_TIMEOUT'],
    ['FAILED', 'ERROR: permission denied for schema main_production', 'GRANT USAGE ON SCHEMA'],
    ['FAILED', 'FATAL: database "postgres" does not exist', 'Check the name of the database, postgres'],
    ['FAILED', 'ERROR: something of its own', 'That is its own answer'],
  ] as const)('%s: %s', async (status, error, hint) => {
    api.ends.push({ on: /count/, status, error })
    const { warehouse } = await opened()
    await expect(warehouse.count(users)).rejects.toMatchObject({
      name: 'OperatorError',
      message: expect.stringContaining(`${source} says: ${error}`),
      hint: expect.stringContaining(hint),
    })
  })

  test('one that a restart has ended is asked again', async () => {
    const { warehouse, waits } = await opened()
    await warehouse.count(users)
    api.ends.push({
      on: /count/,
      status: 'FAILED',
      error: 'FATAL: terminating connection due to administrator command',
    })
    expect(await warehouse.count(users)).toBe(200)
    expect(waits).toEqual([expect.stringContaining('terminating connection'), null])
  })

  test('a column that was renamed since is told as that', async () => {
    const relation = await relationOf('clicked_buy')
    await postgres.query(`alter table ${schema}.clicked_buy rename column colour to color`)
    await expect(rowsOf(relation)).rejects.toMatchObject({
      name: 'SourceChanged',
      message: expect.stringContaining('clicked_buy was altered in the warehouse since it was planned: '),
    })
  })

  test('one that takes too long is ended, and says so', async () => {
    await postgres.query(
      `create view ${schema}.slow as select event_id, user_id, time, pg_sleep(0.1)::varchar as nap from ${schema}.clicked_buy; grant select on ${schema}.slow to "${iamUser}"`,
    )
    const relation = await relationOf('slow')
    const options = { passwordFor: () => '', tls: undefined, timeoutMs: 500 }
    const warehouse = await openWarehouse(source, options)
    await expect(warehouse.sample(relation, 100)).rejects.toMatchObject({
      message: expect.stringContaining('canceling statement due to statement timeout (57014)'),
      hint: expect.stringContaining('HEAPFERRY_WAREHOUSE_TIMEOUT'),
    })
  })
})

test('a refusal by IAM names the rights that are needed', async () => {
  api.refusals.push({
    on: 'BatchExecuteStatement',
    status: 400,
    code: 'AccessDeniedException',
    message: 'User x is not authorized to perform redshift-data:BatchExecuteStatement',
  })
  const { code, stderr } = await heapferryHere(['plan', source], surroundings())
  expect(code).toBe(1)
  expect(stderr).toContain(`${source}: AWS says: User x is not authorized`)
  for (const action of ['redshift-data:GetStatementResult', 'redshift:GetClusterCredentialsWithIAM'])
    expect(stderr).toContain(action)
})

test('tables that may not be read are named with the database user that AWS made of the role', async () => {
  await postgres.query(`revoke select on ${schema}.pageviews from "${iamUser}"`)
  const { warehouse } = await opened()
  await expect(warehouse.catalogue()).rejects.toMatchObject({
    message: `${iamUser} may not read the table pageviews of the schema ${schema}`,
    hint: expect.stringContaining(`GRANT SELECT ON ALL TABLES IN SCHEMA "${schema}" TO "${iamUser}"`),
  })
})

test('neither pg nor a password is needed; without its own npm package it says what to install', async () => {
  const root = path.resolve(import.meta.dirname, '../..')
  const lacking = '@aws-sdk/client-redshift-data'
  const copied = (name: string, without: readonly string[]): string => {
    const into = path.join(folder, name)
    cpSync(path.join(root, 'dist'), path.join(into, 'dist'), { recursive: true })
    mkdirSync(path.join(into, 'node_modules/@aws-sdk'), { recursive: true })
    const modules = [
      ...readdirSync(path.join(root, 'node_modules')).filter((one) => one !== '@aws-sdk'),
      ...readdirSync(path.join(root, 'node_modules/@aws-sdk')).map((one) => `@aws-sdk/${one}`),
    ]
    for (const one of modules.filter((module) => !without.includes(module)))
      symlinkSync(path.join(root, 'node_modules', one), path.join(into, 'node_modules', one))
    return path.join(into, 'dist/heapferry.mjs')
  }
  const withoutPg = await heapferry(['plan', source], surroundings(), copied('a', ['pg'])).ended
  expect([withoutPg.code, withoutPg.stderr]).toEqual([0, ''])
  const without = await heapferry(['plan', source], surroundings(), copied('b', [lacking])).ended
  expect(without.code).toBe(1)
  expect(without.stderr).toContain(`npm package ${lacking}, which is not installed`)
  expect(without.stderr).toContain(`npm i ${lacking} `)
})
