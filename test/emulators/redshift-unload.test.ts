import { mkdirSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Report } from '@heapferry/migration'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryAnswer, heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { startS3StandIn, type TestStore } from '../support/s3-stand-in.ts'
import { until } from '../support/until.ts'
import { linesBelow, makeHeap, schema, sourceOf, unloadByHand } from './heap-in-postgres.ts'
import { startPostgres, type TestPostgres } from './start-postgres.ts'
import { startUnloading, type UnloadingRedshift } from './start-unloading.ts'

const server = redisForTests()
let postgres: TestPostgres
let store: TestStore
let redshift: UnloadingRedshift
let folder: string

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.close())
beforeEach(async () => {
  folder = await temporaryFolder()
  await server.redis.flushall()
  await makeHeap(postgres)
  // Redshift knows no infinity, and Parquet neither.
  await postgres.query(`delete from ${schema}.pageviews where time = 'infinity'`)
  store = await startS3StandIn()
  onTestFinished(() => store.close())
  redshift = await startUnloading(postgres.port, store)
})

const stage = (): string => `s3://${store.bucket}/heap`
const source = (): string => sourceOf(redshift)

function surroundings(home = 'home') {
  return {
    env: {
      HEAPFERRY_HOME: path.join(folder, home),
      REDIS_URL: server.server.url,
      PGPASSWORD: 'any',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_REGION: 'us-east-1',
      HEAPFERRY_S3_ENDPOINT: store.endpoint,
      HEAPFERRY_S3_PATH_STYLE: 'true',
      HEAPFERRY_REDSHIFT_ROLE: 'arn:aws:iam::123456789012:role/unload',
    },
    cwd: folder,
  }
}

const flags = (home = 'home'): string[] => ['--to', `jsonl:${path.join(folder, home, 'events')}`, '--run', 'r']

const migrate = (...more: string[]) =>
  heapferryAnswer(['run', source(), ...flags(), '--stage', stage(), ...more], surroundings())

/** The same tables unloaded to CSV, migrated under a Redis that knows nothing of the other run. */
async function eventsByHand(): Promise<string[]> {
  const tables = ['users', 'user_migrations', 'pageviews', 'clicked_buy', 'nothing_yet']
  await unloadByHand(postgres, path.join(folder, 'csv'), tables)
  await server.redis.flushall()
  await heapferryAnswer(['run', path.join(folder, 'csv'), ...flags('hand')], surroundings('hand'))
  return eventsOf('hand')
}

/** Each once: of equal rows those in one batch are sent once, and two files make other batches than one. */
async function eventsOf(home: string): Promise<string[]> {
  return [...new Set(await linesBelow(path.join(folder, home, 'events')))]
}

async function keys(): Promise<string[]> {
  const signed = { headers: { authorization: 'Credential=a/20230101/us-east-1/s3/x' } }
  const page = await (await fetch(`${store.endpoint}/acme?list-type=2`, signed)).text()
  return [...page.matchAll(/<Key>([^<]+)/g)].map(([, key = '']) => key)
}

test('a Redshift that writes Parquet into a bucket becomes the same events, byte for byte, as CSV unloaded by hand', async () => {
  const plan = await heapferryHere(['plan', source(), '--stage', stage(), '--json'], surroundings())
  expect([plan.code, plan.stderr]).toEqual([0, ''])
  expect(JSON.parse(plan.stdout).notices[0]).toContain(`which it will write into ${stage()} itself`)
  expect(await keys()).toEqual([])
  const ended = await migrate()
  expect(ended.code).toBe(3)
  expect(redshift.statements).toHaveLength(6)
  expect(redshift.statements.find((sql) => sql.includes('pageviews'))).toMatch(
    /^unload \('select "event_id" as "event_id", .* from "main_production"."pageviews"'\) to 's3:\/\/acme\/heap\/r\/pageviews\/1\/' iam_role 'arn:aws:iam::123456789012:role\/unload' /,
  )
  expect(await readdir(path.join(folder, 'home/runs/r/stage'))).toEqual(['stage.json'])

  const { stdout } = await heapferryHere(['report', 'r', '--json'], surroundings())
  const { warehouse } = Report.parse(JSON.parse(stdout))
  expect(warehouse).toMatchObject({ stage: `${stage()}/r`, rows: 4747 })
  expect(warehouse?.tables.find(({ table }) => table === 'pageviews')).toMatchObject({
    statement: '7 columns of pageviews, written by the warehouse into pageviews/1',
    files: 2,
    rows: 4006,
  })
  // Rows of the run are read in the bucket, and what is there is the user's.
  expect((await heapferryHere(['verify', 'r', '--offline'], surroundings())).code).toBe(0)
  const retried = await heapferryHere(['retry', 'r', ...flags().slice(0, 2)], surroundings())
  expect(`${retried.stdout}${retried.stderr}`).toContain('0 sent, 0 skipped, 5 rejected again')
  const before = await keys()
  await server.redis.hset('heapferry-ledger:run:r', 'producedAtMs', Date.now() - 11_000)
  const cleaned = await heapferryHere(['clean', 'r', '--yes'], surroundings())
  expect([cleaned.code, cleaned.stderr]).toEqual([0, expect.stringContaining(`written to ${stage()}/r stays`)])
  expect(await keys()).toEqual(before)

  const ours = await eventsOf('home')
  expect(ours.length).toBeGreaterThan(3500)
  expect(await eventsByHand()).toEqual(ours)
})

test('a connection that breaks in the middle of an UNLOAD leads to another folder, and nothing in the first is read', async () => {
  redshift.faults = { breakAfterFiles: 1 }
  expect((await migrate()).code).toBe(3)
  const found = await keys()
  expect(found.filter((key) => key.endsWith('/manifest'))).toHaveLength(6)
  expect(found.filter((key) => /\/2\//.test(key)).length).toBeGreaterThan(1)
  const ours = await eventsOf('home')
  expect(await eventsByHand()).toEqual(ours)
})

test.each([
  ['rows that are in no file while the manifest counts them', { losesRows: 3 }, /has \d+ rows, and is to have \d+/],
  ['rows that the manifest does not count either', { skipsRows: 3 }, /it counts \d+ rows, and has written \d+/],
])(
  '%s stop it before anything of the table is enqueued, and the next command has it written anew',
  async (_, fault, said) => {
    redshift.faults = fault
    const stopped = await heapferryHere(['enqueue', source(), ...flags(), '--stage', stage()], surroundings())
    expect(stopped.code).toBe(1)
    expect(stopped.stderr).toMatch(said)
    const stageJson = JSON.parse(await readFile(path.join(folder, 'home/runs/r/stage/stage.json'), 'utf8'))
    expect(stageJson.tables[0].windows[0].parts).toBeNull()
    expect((await migrate()).code).toBe(3)
    const ours = await eventsOf('home')
    expect(await eventsByHand()).toEqual(ours)
  },
)

test('a producer that is killed goes on: what an attempt has left whole is taken, what is half is not, and nothing is written over', async () => {
  await postgres.query(`set search_path to ${schema};
    create table taps (event_id bigint, user_id bigint, time timestamp, colour varchar);
    insert into taps select n, 9007199254740994 + n % 200, timestamp '2023-01-01' + n * interval '1 minute', 'red' from generate_series(1, 20000) n`)
  const stageFile = path.join(folder, 'home/runs/r/stage/stage.json')
  const attempts = async (): Promise<number> => {
    const text = await readFile(stageFile, 'utf8').catch(() => '')
    return [...text.matchAll(/"attempt":/g)].length
  }
  for (const reached of [1, 3, 7]) {
    const producer = heapferry(['enqueue', source(), ...flags(), '--stage', stage()], surroundings())
    await until(`${reached} tables are begun`, async () => (await attempts()) >= reached)
    producer.child.kill('SIGKILL')
    await producer.ended
  }
  const before = new Map<string, string>()
  const signed = { headers: { authorization: 'Credential=a/20230101/us-east-1/s3/x' } }
  for (const key of await keys())
    before.set(key, (await fetch(`${store.endpoint}/acme/${key}`, signed)).headers.get('etag') ?? '')
  expect((await migrate()).code).toBe(3)
  for (const [key, etag] of before)
    expect([key, (await fetch(`${store.endpoint}/acme/${key}`, signed)).headers.get('etag')]).toEqual([key, etag])
  const ours = await eventsOf('home')
  await unloadByHand(postgres, path.join(folder, 'csv'), ['taps'])
  expect(await eventsByHand()).toEqual(ours)
})

test('what is whole in the bucket, and nobody was told, is not written again', async () => {
  await heapferryHere(['enqueue', source(), ...flags(), '--stage', stage()], surroundings())
  const stageFile = path.join(folder, 'home/runs/r/stage/stage.json')
  const stored = JSON.parse(await readFile(stageFile, 'utf8'))
  for (const { windows } of stored.tables) windows[0].parts = null
  await writeFile(stageFile, JSON.stringify(stored))
  await server.redis.flushall()
  const before = redshift.statements.length
  expect((await migrate()).code).toBe(3)
  expect(redshift.statements.length).toBe(before)
})

test('another --stage, or one of a folder or of no warehouse, is refused with what to do', async () => {
  await heapferryHere(['enqueue', source(), ...flags(), '--stage', stage()], surroundings())
  const enqueue = (...args: string[]) => heapferryHere(['enqueue', ...args, ...flags()], surroundings())
  const other = await enqueue(source(), '--stage', `${stage()}/other`)
  expect([other.code, other.stderr]).toEqual([1, expect.stringContaining(`was begun with ${stage()}/r, and not with`)])
  expect((await enqueue(source())).code).toBe(0)
  mkdirSync(path.join(folder, 'empty'))
  const files = await enqueue('empty', '--stage', stage())
  expect([files.code, files.stderr]).toEqual([1, expect.stringContaining('--stage is for warehouses')])
  const elsewhere = await heapferryHere(['plan', source(), '--stage', 'gs://acme/heap'], surroundings())
  expect([elsewhere.code, elsewhere.stderr]).toEqual([
    1,
    expect.stringContaining('Give s3://bucket/prefix with --stage'),
  ])
})
