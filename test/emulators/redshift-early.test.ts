import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { defaultMapping } from '@heapferry/domain'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { openPlace, openUnloading, openWarehouse } from '@heapferry/sources'
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry, type HeapferryProcess } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { noS3 } from '../support/place.ts'
import { redisForTests } from '../support/redis.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import { until } from '../support/until.ts'
import { makeHeap, schema, sourceOf, unloadByHand } from './heap-in-postgres.ts'
import { startPostgres, type TestPostgres } from './start-postgres.ts'
import { startUnloading } from './start-unloading.ts'

const server = redisForTests()
const apiKey = 'phc_early000000000000000000000000000000000000000'
const tables = ['users', 'user_migrations', 'sessions', 'pageviews', 'clicked_buy', 'nothing_yet', 'taps']
const sessionRows = 120_000
const tapRows = 20_000

let postgres: TestPostgres
let folder: string

beforeAll(async () => {
  postgres = await startPostgres()
})
afterAll(() => postgres.close())
// A producer that waits for a lock does not end.
afterEach(() => postgres.query('rollback'))
beforeEach(async () => {
  folder = await temporaryFolder()
  await server.redis.flushall()
  await makeHeap(postgres)
  // The index of so many sessions takes seconds; every tap is in one, and so are pageviews of the first.
  await postgres.query(`set search_path to ${schema};
    create table sessions (session_id bigint, user_id bigint, time timestamp, referrer varchar, browser varchar);
    insert into sessions select case when n <= 300 then n else 9000000000000000 + n end, 9007199254740994 + n % 200,
      timestamp '2023-01-01' + n * interval '1 minute', 'https://from.example/' || n, 'Safari 17' from generate_series(1, ${sessionRows}) n;
    create table taps (event_id bigint, user_id bigint, session_id bigint, time timestamp, colour varchar);
    insert into taps select n, 9007199254740994 + n % 200, 9000000000000000 + n, timestamp '2023-01-01' + n * interval '1 minute 1 second', 'red'
      from generate_series(1, ${tapRows}) n`)
})

interface Scene {
  posthog: FakePostHog
  command(args: readonly string[]): HeapferryProcess
  answer: (args: readonly string[]) => ReturnType<typeof heapferryHere>
}

async function scene(home: string, settings: Record<string, string> = {}): Promise<Scene> {
  const posthog = await startFakePostHog({ apiKey, keep: 'events' })
  onTestFinished(() => posthog.stop())
  const surroundings = {
    env: {
      HEAPFERRY_HOME: path.join(folder, home),
      REDIS_URL: server.server.url,
      PGPASSWORD: 'any',
      POSTHOG_HOST: posthog.url,
      POSTHOG_API_KEY: apiKey,
      ...settings,
    },
    cwd: folder,
  }
  return {
    posthog,
    command: (args) => heapferry(args, surroundings),
    answer: (args) => heapferryHere(args, surroundings),
  }
}

/** What PostHog has, by uuid. */
function stored({ posthog }: Scene): [string, object][] {
  return [...posthog.stored]
    .map(([uuid, { event, distinct_id, timestamp, properties }]): [string, object] => [
      uuid,
      { event, distinct_id, timestamp, properties },
    ])
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
}

function countOf({ posthog }: Scene, event: string): number {
  return [...posthog.stored.values()].filter((one) => one.event === event).length
}

/** The same tables as CSV, by a Redis that knows nothing of others. */
async function byHand(): Promise<[string, object][]> {
  await unloadByHand(postgres, path.join(folder, 'csv'), tables)
  await server.redis.flushall()
  const hand = await scene('hand')
  const { code, stderr } = await hand.command([
    'run',
    path.join(folder, 'csv'),
    '--run',
    'r',
    '--workers',
    '1',
    '--no-dashboard',
  ]).ended
  expect([code, stderr]).toEqual([3, expect.any(String)])
  return stored(hand)
}

const stage = (): string => path.join(folder, 'ours/runs/r/stage')

/** Looked into, and begun as the command would begin it; no row of it is read. */
async function begun() {
  const options = { passwordFor: () => 'any', tls: undefined, timeoutMs: 60_000 }
  const warehouse = await openWarehouse(sourceOf(postgres), options)
  onTestFinished(() => warehouse.close())
  const place = await openPlace(stage(), noS3)
  return { warehouse, unloading: await openUnloading(place, { warehouse, mapping: defaultMapping }) }
}

/** Names of tables of which all is in files. */
async function sealedTables(): Promise<string[]> {
  const { tables: staged } = JSON.parse(await readFile(path.join(stage(), 'stage.json'), 'utf8'))
  return staged.flatMap(({ table, windows }: { table: string; windows: { parts: unknown }[] }) =>
    windows.every(({ parts }) => parts !== null) ? table : [],
  )
}

/** Nobody reads the table until `unlock`. */
function lock(table: string): Promise<unknown> {
  return postgres.query(`begin; lock table ${schema}.${table} in access exclusive mode`)
}

function unlock(): Promise<unknown> {
  return postgres.query('commit')
}

async function isWaitedFor(): Promise<boolean> {
  const waiting = await postgres.query('select 1 from pg_locks where not granted')
  return waiting.length > 0
}

async function killed(producer: HeapferryProcess): Promise<void> {
  producer.child.kill('SIGKILL')
  expect((await producer.ended).signal).toBe('SIGKILL')
}

const statusOf = async (ours: Scene) => JSON.parse((await ours.answer(['status', 'r', '--json'])).stdout)

test('events are at PostHog before the last table is unloaded, with what their sessions tell; a producer that is killed while sessions are unloaded, while the index is made and while events flow goes on; the events are those of CSV', async () => {
  await begun()
  const ours = await scene('ours')
  const enqueue = () => ours.command(['enqueue', sourceOf(postgres), '--run', 'r'])
  const worker = ours.command(['worker'])

  await lock('sessions')
  let producer = enqueue()
  await until('sessions are waited for', isWaitedFor)
  await until('status says so', async () => (await statusOf(ours)).unloading?.table === 'sessions')
  expect((await statusOf(ours)).state).toBe('unloading')
  expect(await sealedTables()).toEqual(['user_migrations', 'users'])
  await killed(producer)
  await unlock()

  await lock('taps')
  producer = enqueue()
  await until('sessions are unloaded', async () => (await sealedTables()).includes('sessions'))
  const head = path.join(folder, 'ours/runs/r/sessions/head')
  await killed(producer)
  await expect(readFile(head)).rejects.toThrow('ENOENT')
  expect(await sealedTables()).toEqual(['user_migrations', 'users', 'sessions'])
  expect(ours.posthog.stored.size).toBe(0)

  producer = enqueue()
  await until('events are at PostHog', () => countOf(ours, '$pageview') > 3000 && countOf(ours, 'clicked_buy') === 500)
  await until('taps are waited for', isWaitedFor)
  expect(await sealedTables()).not.toContain('taps')
  expect(countOf(ours, 'taps')).toBe(0)
  const people = [...ours.posthog.stored.values()].filter(({ properties }) =>
    JSON.stringify(properties).includes('"$initial_referrer":"https://from.example/'),
  )
  expect(people.length).toBeGreaterThan(100)
  await until('status says so', async () => (await statusOf(ours)).unloading?.table === 'taps')
  expect(await statusOf(ours)).toMatchObject({
    state: 'running',
    message: expect.stringMatching(/^Running, phase 2 of 2: .* Unloading the warehouse: \d+%, .*, now taps\.$/),
  })
  await killed(producer)
  // Heap syncs, and has found out who taps.
  await postgres.query(`update ${schema}.taps set user_id = user_id + 1 where event_id % 3 = 0;
    update ${schema}._sync_info set synced_at = '2024-01-02'`)
  await unlock()

  const last = await enqueue().ended
  expect([last.code, last.stderr]).toEqual([
    0,
    expect.stringContaining('Heap synced into the warehouse while it was unloaded'),
  ])
  await until('all is sent', async () => (await statusOf(ours)).state === 'completed_with_rejected_rows')
  expect((await statusOf(ours)).unloading).toBeNull()
  expect((await ours.answer(['verify', 'r', '--offline'])).code).toBe(0)
  worker.child.kill('SIGTERM')
  await worker.ended
  const derived = [...ours.posthog.stored.values()].filter(
    ({ event, properties }) =>
      event === 'taps' && String(properties?.['$referrer']).startsWith('https://from.example/'),
  )
  // The ids of the first sessions are others.
  expect(derived).toHaveLength(tapRows - 300)
  const mine = stored(ours)
  const theirs = await byHand()
  expect(mine.map(([uuid]) => uuid)).toEqual(theirs.map(([uuid]) => uuid))
  expect(mine.findIndex(([, event], index) => JSON.stringify(event) !== JSON.stringify(theirs[index]?.[1]))).toBe(-1)
}, 600_000)

test('events of a Redshift that writes into a bucket are at PostHog before it has written the last table, and are those of CSV', async () => {
  // Parquet knows no infinity.
  await postgres.query(`delete from ${schema}.pageviews where time = 'infinity'`)
  const store = await startS3StandIn()
  onTestFinished(() => store.close())
  const redshift = await startUnloading(postgres.port, store)
  const ours = await scene('ours', {
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: 'us-east-1',
    HEAPFERRY_S3_ENDPOINT: store.endpoint,
    HEAPFERRY_S3_PATH_STYLE: 'true',
  })
  const command = ['--run', 'r', '--stage', `s3://${store.bucket}/heap`]
  const run = ours.command(['run', sourceOf(redshift), ...command, '--workers', '1', '--no-dashboard'])
  await until(
    'it is planned',
    async () => (await readFile(path.join(stage(), 'stage.json')).catch(() => null)) !== null,
  )
  await lock('taps')
  await until('events are at PostHog', () => countOf(ours, '$pageview') > 3000 && countOf(ours, 'clicked_buy') === 500)
  await until('taps are waited for', isWaitedFor)
  expect(await sealedTables()).not.toContain('taps')
  expect(countOf(ours, 'taps')).toBe(0)
  await unlock()
  expect((await run.ended).code).toBe(3)
  expect(redshift.statements.map((sql) => /to 's3:\/\/acme\/heap\/r\/(\w+)/.exec(sql)?.[1]).slice(0, 3)).toEqual([
    'user_migrations',
    'users',
    'sessions',
  ])
  const mine = stored(ours)
  const theirs = await byHand()
  expect(mine.map(([uuid]) => uuid)).toEqual(theirs.map(([uuid]) => uuid))
  expect(mine.findIndex(([, event], index) => JSON.stringify(event) !== JSON.stringify(theirs[index]?.[1]))).toBe(-1)
}, 600_000)

test('what a version before has unloaded, events before sessions, goes on, and is the same events as CSV', async () => {
  const { warehouse, unloading } = await begun()
  const stopped = new AbortController()
  const asBefore = unloading.unload((table) => table !== 'sessions', {
    warehouse,
    holding: async () => {},
    signal: stopped.signal,
    onProgress() {},
  })
  for await (const _ of asBefore);
  expect(await sealedTables()).not.toContain('sessions')
  const ours = await scene('ours')
  const { code } = await ours.command(['run', sourceOf(postgres), '--run', 'r', '--workers', '1', '--no-dashboard'])
    .ended
  expect(code).toBe(3)
  const mine = stored(ours)
  expect(countOf(ours, 'taps')).toBe(tapRows)
  const theirs = await byHand()
  expect(mine.map(([uuid]) => uuid)).toEqual(theirs.map(([uuid]) => uuid))
  expect(mine.findIndex(([, event], index) => JSON.stringify(event) !== JSON.stringify(theirs[index]?.[1]))).toBe(-1)
}, 600_000)
