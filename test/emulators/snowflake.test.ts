import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { emptySchema, makeHeap, numbers, source, unloadByHand } from './heap-in-fakesnow.ts'
import { linesBelow } from './heap-in-postgres.ts'
import { newKeyPair, passphrase, startFakesnow, type TestSnowflake } from './start-fakesnow.ts'

const token = 'tok-7c1f-never-printed'
const keyPair = newKeyPair()
const server = redisForTests()
let snowflake: TestSnowflake
let keyFile: string
let folder: string

beforeAll(async () => {
  snowflake = await startFakesnow()
  await snowflake.state({
    public_key: keyPair.publicKey,
    who: 'ACME-MAIN.HEAPFERRY',
    token: `PROGRAMMATIC_ACCESS_TOKEN ${token}`,
  })
})
afterAll(() => snowflake.close())
beforeEach(async () => {
  folder = await temporaryFolder()
  keyFile = path.join(await temporaryFolder(), 'rsa_key.p8')
  await writeFile(keyFile, keyPair.privateKey)
  await snowflake.state({ statements: [], bodies: [] })
})

const tables = ['users', 'user_migrations', 'pageviews', 'clicked_buy', 'nothing_yet']

function surroundings(home: string, more: Record<string, string> = {}) {
  return {
    env: {
      HEAPFERRY_HOME: path.join(folder, home),
      REDIS_URL: server.server.url,
      HEAPFERRY_SNOWFLAKE_ENDPOINT: snowflake.endpoint,
      SNOWFLAKE_USER: 'heapferry',
      SNOWFLAKE_ROLE: 'heapferry',
      SNOWFLAKE_WAREHOUSE: '"Little One"',
      SNOWFLAKE_PRIVATE_KEY_FILE: keyFile,
      SNOWFLAKE_PRIVATE_KEY_PASSPHRASE: passphrase,
      ...more,
    },
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
async function migrated(from: string, home: string, more: Record<string, string> = {}) {
  await server.redis.flushall()
  const ended = await heapferry(
    ['run', from, ...flags(home), '--workers', '1', '--no-dashboard'],
    surroundings(home, more),
  ).ended
  return { ...ended, lines: await eventsIn(home) }
}

/** Rows that are the same are one event; a copy of it is sent for each chunk in which they are, and PostHog keeps one. */
async function eventsIn(home: string): Promise<string[]> {
  return [...new Set(await linesBelow(eventsOf(home)))]
}

describe('a schema of Heap', () => {
  beforeAll(() => makeHeap(snowflake))

  test('plan tells numbers, statements, cost and columns, and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await heapferryHere(['plan', source, '--json'], surroundings('home'))
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const plan = JSON.parse(stdout)
    expect(plan.tables.map(({ table, rows }: { table: string; rows: object }) => [table, rows])).toEqual([
      ['user_migrations', exact(40)],
      ['users', exact(200)],
      ['_sync_info', exact(1)],
      ['clicked_buy', exact(500)],
      ['nothing_yet', exact(0)],
      ['pageviews', exact(4006)],
    ])
    expect(plan.notices).toEqual([
      expect.stringMatching(
        /^snowflake:\/\/acme-main\/HEAP_MAIN_PRODUCTION\/HEAP: 6 tables with 4747 rows, to be unloaded in 6 queries/,
      ),
      expect.stringContaining('all_events, big_spenders'),
      expect.stringMatching(/warehouse "Little One" runs, at least 60 .* 6 statements/),
      'Unloaded whole before anything is sent: pageviews, user_migrations, users. Other tables are sent while they are unloaded',
    ])
    const pageviews = plan.tables.find(({ table }: { table: string }) => table === 'pageviews')
    expect(pageviews.columns.map(({ column }: { column: string }) => column)).toContain('plan name')
    expect(await readdir(folder)).toEqual([])
    const { bodies } = await snowflake.state({})
    expect(bodies[0]).toMatchObject({ role: 'HEAPFERRY', warehouse: 'Little One', parameters: { timezone: 'UTC' } })
  })

  test('keys, passphrases and tokens are nowhere but in the process: not in Redis, files, logs, reports or what is printed', async () => {
    const { SNOWFLAKE_PRIVATE_KEY_FILE: _, ...env } = surroundings('token').env
    await server.redis.flushall()
    const run = ['run', source, ...flags('token'), '--workers', '1', '--no-dashboard']
    const byToken = await heapferry(run, { env: { ...env, SNOWFLAKE_TOKEN: token, LOG_LEVEL: 'trace' }, cwd: folder })
      .ended
    expect(byToken.code).toBe(3)
    const said = [byToken.stdout, byToken.stderr, ...(await everythingIn(folder))]
    const byKey = await migrated(source, 'ours', { LOG_LEVEL: 'trace' })
    expect(byKey.code).toBe(3)
    said.push(byKey.stdout, byKey.stderr)
    const here = surroundings('ours')
    for (const args of [
      ['status', 'r', '--json'],
      ['report', 'r'],
      ['rejected', 'r'],
    ]) {
      const { stdout, stderr } = await heapferryHere(args, here)
      said.push(stdout, stderr)
    }
    for (const [more, message] of [
      [
        { SNOWFLAKE_PRIVATE_KEY_PASSPHRASE: `${passphrase}!` },
        /private key of SNOWFLAKE_PRIVATE_KEY_FILE cannot be used/,
      ],
      [{ SNOWFLAKE_USER: 'somebody' }, /says: JWT token is invalid.* \(390144\)\n.*SNOWFLAKE_USER.*RSA_PUBLIC_KEY/],
      [
        { SNOWFLAKE_PRIVATE_KEY_FILE: '', SNOWFLAKE_TOKEN: `${token}!` },
        /says: Invalid token. \(390303\)\n.*SNOWFLAKE_TOKEN/,
      ],
      [{ SNOWFLAKE_PRIVATE_KEY_FILE: '', SNOWFLAKE_TOKEN: `${token} !` }, /The token for Snowflake holds blanks/],
      [
        { SNOWFLAKE_PRIVATE_KEY_FILE: '', SNOWFLAKE_TOKEN: `${token}!`, SNOWFLAKE_AUTHENTICATOR: 'oauth' },
        /OAuth access token expired.* \(390318\)\n.*SNOWFLAKE_TOKEN_FILE_PATH/,
      ],
      [{ SNOWFLAKE_PRIVATE_KEY_FILE: '' }, /nothing to log in to Snowflake with\n.*SNOWFLAKE_PRIVATE_KEY_FILE/],
    ] as const) {
      const wrong = await heapferryHere(['plan', source], { ...here, env: { ...here.env, ...more } })
      expect(wrong.code).toBe(1)
      expect(wrong.stderr).toMatch(message)
      said.push(wrong.stdout, wrong.stderr)
    }
    for (const key of await server.redis.keys('*')) said.push(await dumped(key))
    said.push(...(await everythingIn(folder)))
    expect(said.some((text) => text.includes('"kind":"result"'))).toBe(true)
    // Of the key nothing but its first line is known to a message that says what it looks like.
    const secrets = [token, passphrase, keyPair.privateKey.slice(40, 100), 'eyJhbGciOi']
    expect(said.filter((text) => secrets.some((secret) => text.includes(secret)))).toEqual([])
  })

  test('two commands at once: one waits for the other, and no table is asked for twice', async () => {
    await server.redis.flushall()
    const enqueue = ['enqueue', source, ...flags('ours')]
    const both = await Promise.all([1, 2].map(() => heapferry(enqueue, surroundings('ours')).ended))
    expect(both.map(({ code }) => code)).toEqual([0, 0])
    expect(await snowflake.readings()).toHaveLength(6)
  })
})

test('columns of all types become the same events as the same table in Parquet', async () => {
  await emptySchema(snowflake)
  await snowflake.run(
    'create table users (user_id number(38,0), identity varchar)',
    'create table typed (event_id number(38,0), user_id number(38,0), time timestamp_tz, long number(38,0), price number(12,2), yes boolean, real float, day date, there timestamp_ltz, clock time, what variant, text varchar)',
    `insert into typed select 1, 5, '2023-01-02 03:04:05.6 +0200'::timestamp_tz, 9007199254740993, 1.10, true, 0.1::float + 0.2::float, '1969-12-31'::date, '2023-01-02 03:04:05.000001'::timestamp_ltz, '01:02:03.5'::time, parse_json('{"a":[1,"x"]}'), 'a'`,
    `insert into typed select 2, 5, '2023-01-02 03:04:05 +0000'::timestamp_tz, -9223372036854775808, -0.01, false, 1e20::float, '2023-01-02'::date, null, null, null, ''`,
    `insert into typed (event_id, user_id, time, real) select 3, 5, '2023-01-02 03:04:06 +0000'::timestamp_tz, 'inf'::float`,
    `insert into typed (event_id, user_id, time, real) select 4, 5, '2023-01-02 03:04:07 +0000'::timestamp_tz, 'NaN'::float`,
    `insert into typed (event_id, user_id, time, real) select 5, 5, '2023-01-02 03:04:08 +0000'::timestamp_tz, 1e-7::float`,
  )
  const into = path.join(folder, 'parquet')
  await unloadByHand(snowflake, into, ['users'])
  // As Snowflake writes it: numbers as decimals; and the zone taken off, with which it writes none.
  await snowflake.inDuckDb(
    `COPY (SELECT event_id::DECIMAL(38,0) AS event_id, user_id::DECIMAL(38,0) AS user_id, (time AT TIME ZONE 'UTC')::TIMESTAMP AS time, long::DECIMAL(38,0) AS long, price, yes, real, day, (there AT TIME ZONE 'UTC')::TIMESTAMP AS there, clock, what::VARCHAR AS what, text FROM typed) TO '${into}/typed.parquet' (FORMAT PARQUET)`,
  )
  const [ours, byHand] = [await migrated(source, 'ours'), await migrated(into, 'hand')]
  expect(byHand.lines).toHaveLength(5)
  for (const text of [
    '"yes":true',
    '"real":0.30000000000000004',
    '"long":"9007199254740993"',
    '"price":"-0.01"',
    '"clock":"01:02:03.5"',
  ])
    expect(byHand.lines.join('\n')).toContain(text)
  expect(ours.lines).toEqual(byHand.lines)
})

describe('a large table', () => {
  const rows = 12_000
  let proxy: FaultProxy

  beforeAll(async () => {
    await makeHeap(snowflake)
    await snowflake.run(
      'create table taps (event_id number(38,0), user_id number(38,0), time timestamp_ntz, colour varchar)',
      `insert into taps select n, 9007199254740994 + n % 200, dateadd(minute, n, '2023-01-01'::timestamp_ntz), 'red' from ${numbers(rows)}`,
    )
  })

  test('a result that is gone costs that table alone: nothing of it was enqueued, and it is told', async () => {
    await server.redis.flushall()
    proxy = await startFaultProxy(snowflake.endpoint)
    onTestFinished(() => proxy.close())
    proxy.faults.push({ kind: 'status', status: 404, code: '390404', on: /GET .*partition=7/ })
    const here = surroundings('ours', { HEAPFERRY_SNOWFLAKE_ENDPOINT: proxy.endpoint })
    const ended = await heapferry(['run', source, ...flags('ours'), '--workers', '1', '--no-dashboard'], here).ended
    expect(ended.code).toBe(3)
    expect(ended.stderr).toContain('taps is queried again, and read from its beginning: Snowflake no longer has')
    const read = await snowflake.readings()
    expect(read.filter((sql) => sql.includes('"TAPS"'))).toHaveLength(2)
    expect(read).toHaveLength(8)
    const ours = await eventsIn('ours')
    await unloadByHand(snowflake, path.join(folder, 'csv'), [...tables, 'taps'])
    expect(ours).toEqual((await migrated(path.join(folder, 'csv'), 'hand')).lines)
  })

  test('a token in a file may be renewed while it reads', async () => {
    const file = path.join(folder, 'token')
    await writeFile(file, 'old-token\n')
    await snowflake.state({ token: 'OAUTH old-token' })
    proxy = await startFaultProxy(snowflake.endpoint, { latencyMs: 60 })
    onTestFinished(() => proxy.close())
    await server.redis.flushall()
    const oauth = {
      HEAPFERRY_SNOWFLAKE_ENDPOINT: proxy.endpoint,
      SNOWFLAKE_PRIVATE_KEY_FILE: '',
      SNOWFLAKE_TOKEN_FILE_PATH: file,
      SNOWFLAKE_AUTHENTICATOR: 'OAuth',
    }
    const producer = heapferry(['enqueue', source, ...flags('ours')], surroundings('ours', oauth))
    await until('it reads partitions', () => proxy.requests.some((line) => line.includes('partition=3')))
    await writeFile(file, 'new-token\n')
    await snowflake.state({ token: 'OAUTH new-token' })
    expect((await producer.ended).code).toBe(0)
  })
})

async function everythingIn(root: string): Promise<string[]> {
  const files = await readdir(root, { recursive: true, withFileTypes: true })
  return Promise.all(
    files
      .filter((file) => file.isFile())
      .map(async (file) => (await readFile(path.join(file.parentPath, file.name))).toString('latin1')),
  )
}

function exact(count: number): object {
  return { count, exact: true }
}

/** A key of Redis as text, whatever it is. */
async function dumped(key: string): Promise<string> {
  return `${key} ${(await server.redis.dumpBuffer(key))?.toString('latin1')}`
}
