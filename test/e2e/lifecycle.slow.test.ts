import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { RunId } from '@heapferry/domain'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import type { RunStatus } from '@heapferry/migration'
import { connectRedis, openPrivateRedis, type PrivateRedis, type Redis } from '@heapferry/queue'
import { writeSampleExport } from '@heapferry/sample-export'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry, type HeapferryProcess } from '../support/heapferry.ts'
import { commandLineOf, processIds, workersOf } from '../support/processes.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_lifecycle00000000000000000000000000000000'
const run = RunId.parse('life')

let folder: string
let source: string
let posthog: FakePostHog
let server: PrivateRedis
let redis: Redis

// Every test reads it, none changes it.
beforeAll(async () => {
  source = await mkdtemp(path.join(tmpdir(), 'heapferry-test-'))
  await writeSampleExport({
    folder: source,
    seed: 3,
    people: 2000,
    pageviewRows: 40_000,
    eventRows: 20_000,
    traps: true,
  })
})
afterAll(() => rm(source, { recursive: true, force: true }))

beforeEach(async () => {
  folder = await temporaryFolder()
  posthog = await startFakePostHog({ apiKey })
  server = await openPrivateRedis({ home: path.join(folder, 'redis-home'), serverCandidates })
  redis = await connectRedis(server.url, () => {})
  onTestFinished(async () => {
    redis.disconnect()
    await server.close()
    await posthog.stop()
  })
})

test('Ctrl-C stops cleanly and says how to go on, and the same command does', async () => {
  posthog.fault({ kind: 'latency', ms: 500 })
  const first = start('run', source, '--run', run)
  await someStored()
  first.child.kill('SIGINT')
  const { code, stderr } = await first.ended
  expect([code, stderr]).toEqual([130, expect.stringContaining('The same command goes on where it was.')])
  expect(localProcesses()).toEqual([])
  const storedBefore = posthog.stored.size

  posthog.clearFaults()
  await completed()
  await holdsEverything()
  const arrivals = [...posthog.stored.values()].reduce((sum, { times }) => sum + times, 0)
  // Batches were finished before the end, so hardly anything is sent again but what the export itself has twice.
  expect(storedBefore).toBeGreaterThan(1000)
  expect(arrivals - posthog.stored.size).toBeLessThan(3000)
})

test('after FLUSHALL during a run it says so, and the same command sends everything under the same uuids', async () => {
  posthog.fault({ kind: 'latency', ms: 500 })
  const first = start('run', source, '--run', run)
  await someStored()
  await redis.flushall()
  const { code, stderr } = await first.ended
  expect([code, stderr]).toEqual([1, expect.stringContaining('Redis does not know the run life any more')])
  posthog.clearFaults()
  await completed()
  await holdsEverything()
})

test('after FLUSHALL of a completed run everything is sent again and PostHog holds no event more', async () => {
  await completed()
  const stored = posthog.stored.size
  await redis.flushall()
  const again = await completed()
  expect(again.totals.sent).toBeGreaterThan(50_000)
  expect(posthog.stored.size).toBe(stored)
})

test('a queue that is emptied during a run is filled again, and the run completes by itself', async () => {
  posthog.fault({ kind: 'latency', ms: 300 })
  const first = start('run', source, '--run', run, '--json')
  await someStored()
  for (const key of await redis.keys('heapferry:*')) await redis.del(key)
  posthog.clearFaults()
  const { code } = await first.ended
  expect(code).toBe(3)
  await holdsEverything()
})

test('pause, resume and cancel work from another terminal', async () => {
  posthog.fault({ kind: 'latency', ms: 300 })
  const first = start('run', source, '--run', run)
  await someStored()
  expect(await said('pause', run)).toContain('life pauses')
  await until('no request arrives any more', async () => {
    const before = posthog.batches.length
    await new Promise((resolve) => setTimeout(resolve, 1500))
    return posthog.batches.length === before
  })
  expect((await statusOf()).state).toBe('paused')
  const paused = posthog.batches.length
  expect(await said('resume', run)).toContain('life goes on')
  await until('requests arrive again', () => posthog.batches.length > paused)
  expect(await said('cancel', run)).toContain('life is cancelled')
  expect((await first.ended).code).toBe(1)
  expect((await statusOf()).state).toBe('cancelled')
  const refused = await start('run', source, '--run', run).ended
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('was cancelled by') })
})

test('a worker of the run command that is killed is replaced', async () => {
  posthog.fault({ kind: 'latency', ms: 300 })
  const first = start('run', source, '--run', run, '--json', '--workers', '1')
  await someStored()
  const [victim] = workersOf(first.child.pid)
  process.kill(victim ?? 0, 'SIGKILL')
  await until('there is another worker', () => workersOf(first.child.pid).some((pid) => pid !== victim))
  posthog.clearFaults()
  expect((await first.ended).code).toBe(3)
  await holdsEverything()
})

test('with Redis away, Ctrl-C still ends the command and all of its workers', async () => {
  posthog.fault({ kind: 'latency', ms: 300 })
  const first = start('run', source, '--run', run)
  await someStored()
  process.kill(server.pid, 'SIGKILL')
  first.child.kill('SIGINT')
  expect((await first.ended).code).toBe(1)
  await until('all its workers have ended', () => localProcesses().length === 0)
  await server.ensure()
})

test('when the run command is killed while its workers start, they end too', async () => {
  for (const afterMs of [300, 900, 1500]) {
    const first = start('run', source, '--run', run)
    await until('a worker starts', () => workersOf(first.child.pid).length > 0)
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    first.child.kill('SIGKILL')
    await until('all its workers have ended', () => localProcesses().length === 0)
  }
})

test('no key and no password is in Redis, in logs or in any command line, and jobs hold no personal data', async () => {
  posthog.fault({ kind: 'latency', ms: 300 })
  const keyFile = path.join(folder, 'posthog.key')
  await writeFile(keyFile, `${apiKey}\n`)
  const first = start('run', source, '--run', run, '--api-key-file', keyFile)
  await someStored()
  const commandLines = localProcesses().join('\n')
  expect(commandLines).toContain('worker')
  const jobs = []
  for (const key of await redis.keys('heapferry:*'))
    if ((await redis.type(key)) === 'hash') jobs.push(await redis.hgetall(key))
  expect(jobs.length).toBeGreaterThan(5)
  expect(JSON.stringify(jobs)).not.toMatch(/@|user_id|distinct_id/)
  posthog.clearFaults()
  await first.ended

  const secrets = [apiKey, new URL(server.url).password]
  const kept = [
    await dump(),
    commandLines,
    first.stdout(),
    first.stderr(),
    ...(await filesBelow(path.join(folder, 'home'))),
  ]
  for (const secret of secrets) for (const text of kept) expect(text.includes(secret)).toBe(false)
})

test('a worker with a key that no project has sends nothing, although PostHog would answer 200', async () => {
  const wrong = 'phc_nobodyhasthiskey00000000000000000000000000'
  expect((await start('enqueue', source, '--run', run, { env: { POSTHOG_API_KEY: wrong } }).ended).code).toBe(0)
  const worker = await start('worker', '--run', run, { env: { POSTHOG_API_KEY: wrong } }).ended
  expect(worker).toMatchObject({ code: 1, stderr: expect.stringContaining('has this key') })
  expect(posthog.batches).toEqual([])
})

test('a wrong Redis password is told without showing it', async () => {
  const wrong = new URL(server.url)
  wrong.password = 'notThePasswordButSecret'
  const { code, stdout, stderr } = await start('status', { env: { REDIS_URL: wrong.toString() } }).ended
  expect(code).toBe(1)
  expect(stdout + stderr).toContain('WRONGPASS')
  expect(stdout + stderr).not.toContain('notThePasswordButSecret')
})

test('a line of 100 MB is one rejected row, and the rows around it arrive', async () => {
  const file = path.join(folder, 'clicks.csv')
  const handle = await open(file, 'w')
  await handle.write('event_id,user_id,time\n1,2,2023-01-02 03:04:05\n')
  for (let written = 0; written < 100; written++) await handle.write('x'.repeat(1024 * 1024))
  await handle.write('\n3,4,2023-01-02 03:04:05\n')
  await handle.close()
  const { code, stdout } = await start('run', file, '--run', run, '--json').ended
  expect(code).toBe(3)
  const status: RunStatus = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  expect(status.totals).toMatchObject({ read: 3, sent: 2, rejected_by_reason: { row_too_large: 1 } })
})

function start(...given: (string | { env: Record<string, string> })[]): HeapferryProcess {
  const args = given.filter((arg) => typeof arg === 'string')
  const more = given.find((arg) => typeof arg === 'object')?.env
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    REDIS_URL: server.url,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
    ...more,
  }
  return heapferry(args, { cwd: folder, env })
}

async function completed(): Promise<RunStatus> {
  const { code, stdout, stderr } = await start('run', source, '--run', run, '--json').ended
  expect([code, stderr.slice(-300)]).toEqual([3, expect.any(String)])
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

async function said(...args: string[]): Promise<string> {
  return (await start(...args).ended).stdout
}

async function statusOf(): Promise<RunStatus> {
  return JSON.parse(await said('status', run, '--json'))
}

function someStored(): Promise<void> {
  return until('events arrive', () => posthog.stored.size > 8000, 60_000)
}

async function holdsEverything(): Promise<void> {
  const expected = await convertible(source, { run, home: path.join(folder, 'home') })
  const stored = [...posthog.stored].map(
    ([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }] as const,
  )
  expect(new Map(stored)).toEqual(expected.events)
}

/** Command lines of all processes that work on this test's run. */
function localProcesses(): string[] {
  return processIds()
    .map(commandLineOf)
    .filter((line) => line.includes('heapferry.mjs') && / --run life /.test(`${line} `))
    .filter((line) => line.includes(' worker ') || line.includes(folder))
}

async function dump(): Promise<string> {
  const folders = await readdir(path.join(folder, 'redis-home', 'redis'), { recursive: true, withFileTypes: true })
  const files = folders.filter((entry) => entry.isFile() && /\.(?:aof|rdb|base|incr)/.test(entry.name))
  expect(files.length).toBeGreaterThan(0)
  return (await Promise.all(files.map((entry) => readFile(path.join(entry.parentPath, entry.name), 'latin1')))).join('')
}

async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => readFile(path.join(entry.parentPath, entry.name), 'latin1')),
  )
}
