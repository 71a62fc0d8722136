import { appendFile, readFile, utimes, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import path from 'node:path'
import { RunId } from '@heapferry/domain'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import type { RunStatus } from '@heapferry/migration'
import { connectRedis, openPrivateRedis, redisLedger } from '@heapferry/queue'
import { writeSampleExport } from '@heapferry/sample-export'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryAnswer, heapferryHere } from '../support/heapferry-here.ts'
import { serverCandidates } from '../support/server-candidates.ts'

const apiKey = 'phc_endtoend000000000000000000000000000000000000'
const run = RunId.parse('e2e')

let folder: string
let source: string
let posthog: FakePostHog

beforeEach(async () => {
  folder = await temporaryFolder()
  source = path.join(folder, 'export')
  posthog = await startFakePostHog({ apiKey, keep: 'ids' })
  onTestFinished(() => posthog.stop())
})

test('a folder with everything that real exports suffer from arrives whole and once, and the same command sends nothing more', async () => {
  const sample = await writeSampleExport({
    folder: source,
    seed: 7,
    people: 300,
    pageviewRows: 3000,
    eventRows: 1500,
    traps: true,
  })
  const first = await asProcess()
  const expected = await convertible(source, { run, home: path.join(folder, 'home') })

  expect(first.code).toBe(3)
  expect(first.status.state).toBe('completed_with_rejected_rows')
  for (const { read, sent, skipped, rejected, planned, table } of first.status.tables) {
    expect([table, sent + skipped + rejected, planned]).toEqual([table, read, read])
  }
  const made = first.status.tables.find(({ table }) => table === 'first_touch')
  expect(made?.sent).toBeGreaterThan(100)
  expect(first.status.totals.read).toBe(
    Object.values(sample.tables).reduce((sum, { rows }) => sum + rows, made?.read ?? 0),
  )
  expect(first.status.totals.sent).toBe(expected.convertibleRows)
  // The id that is led to two people stands in two rows.
  const rejectedRows = {
    ...Object.fromEntries(Object.entries(sample.tables).map(([table, { rejected }]) => [table, rejected])),
    user_migrations: 2,
    first_touch: 0,
  }
  expect(Object.fromEntries(first.status.tables.map(({ table, rejected }) => [table, rejected]))).toEqual(rejectedRows)
  expect(stored()).toEqual(expected.events)

  const requests = posthog.batches.length
  const second = await migrated()
  expect(second.status.totals).toEqual(first.status.totals)
  expect(posthog.batches.length).toBe(requests)
})

test('a changed file or mapping is refused with the reason, and nothing is sent', async () => {
  await writeSampleExport({ folder: source, seed: 1, people: 20, pageviewRows: 100, eventRows: 50, traps: false })
  await migrated()
  const requests = posthog.batches.length

  const mapping = path.join(folder, 'heapferry.yaml')
  await writeFile(mapping, 'persons: skip\n')
  expect(await refused('--mapping', mapping)).toContain('was created with another mapping')
  expect(await refused('--include-recent')).toContain('was created with another --include-recent')
  await utimes(path.join(source, 'users.csv'), new Date(), new Date(0))
  expect(await refused()).toContain('users.csv has changed since this run was planned')
  expect(posthog.batches.length).toBe(requests)
})

test('a file that was added is migrated by the same command', async () => {
  await writeSampleExport({ folder: source, seed: 1, people: 20, pageviewRows: 100, eventRows: 50, traps: false })
  const before = await migrated()
  await appendFile(path.join(source, 'late_event.csv'), 'event_id,user_id,time\n1,2,2023-01-02 03:04:05\n')
  const after = await migrated()
  expect(after.code).toBe(before.code)
  expect(after.status.totals.sent).toBe(before.status.totals.sent + 1)

  await writeFile(path.join(source, 'user_migrations-000000000001.csv'), 'from_user_id,to_user_id\n1,2\n')
  expect(await refused()).toContain('came to the export after the people of the run e2e were resolved')
})

test('with a transport through posthog-node the same events arrive', async () => {
  await writeSampleExport({ folder: source, seed: 2, people: 50, pageviewRows: 1500, eventRows: 300, traps: true })
  await migrated({ HEAPFERRY_TRANSPORT: 'sdk' })
  expect(stored()).toEqual((await convertible(source, { run, home: path.join(folder, 'home') })).events)
})

test('a wrong key stops before anything is sent, and no output shows a key', async () => {
  await writeSampleExport({ folder: source, seed: 1, people: 20, pageviewRows: 100, eventRows: 50, traps: false })
  const wrong = 'phc_wrongkey0000000000000000000000000000000000'
  const { code, stderr, stdout } = await heapferry(['run', source], options({ POSTHOG_API_KEY: wrong })).ended
  expect(code).toBe(1)
  expect(stderr).toContain('has this key')
  expect(stdout + stderr).not.toContain(wrong)
  expect(posthog.batches).toEqual([])
})

test('a host without /flags/ gets the events after a notice, and one that nobody asks after another', async () => {
  const file = path.join(folder, 'clicks.csv')
  await writeFile(file, 'event_id,user_id,time\n1,2,2023-01-02 03:04:05\n')
  const proxy = await startFakePostHog({ apiKey, keep: 'ids', flags: false })
  onTestFinished(() => proxy.stop())
  const env = { POSTHOG_HOST: proxy.url }
  const byItself = await command(env, 'run', file, '--run', 'first')
  expect(byItself).toMatchObject({ code: 0, stderr: expect.stringContaining('NOTICE: the project key could not be') })
  const [click] = proxy.stored.values()
  expect(click?.times).toBe(1)

  const requests = proxy.batches.length
  const skipped = await command(env, 'run', file, '--run', 'second', '--skip-key-check')
  expect(skipped).toMatchObject({ code: 0, stderr: expect.stringContaining('The project key is not checked') })
  expect(click?.times).toBe(2)
  // Neither the command nor its workers ask anything.
  expect(proxy.batches.slice(requests).map(({ outcome }) => outcome)).toEqual([200])
})

test('a source that does not exist, and one without tables, are told with what to do', async () => {
  const missing = await heapferryHere(['run', path.join(folder, 'nothing')], options())
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('no such file or folder') })
  await writeFile(path.join(folder, 'empty.csv'), '')
  const empty = await heapferryHere(['run', path.join(folder, 'empty.csv')], options())
  expect(empty).toMatchObject({ code: 1, stderr: expect.stringContaining('holds only empty files') })
})

test('rejected rows are listed with file, row and byte', async () => {
  const file = path.join(folder, 'clicks.csv')
  await writeFile(
    file,
    'event_id,user_id,time\n1,2,2023-01-02 03:04:05\n3,4.70233395150220e+15,2023-01-02\n5,,2023-01-02\n',
  )
  expect((await command({}, 'run', file, '--run', 'e2e')).code).toBe(3)
  const { stdout } = await command({}, 'rejected', 'e2e', '--json')
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(rows.map(({ file: name, row, byte, reason }) => [name, row, byte, reason])).toEqual([
    ['clicks.csv', 2, 46, 'damaged_id'],
    ['clicks.csv', 3, 80, 'missing_user_id'],
  ])
  expect((await readFile(file)).subarray(46).toString()).toMatch(/^3,4\.7/)
})

test('a run with too many rejected rows pauses itself, and goes on for who has looked at them', async () => {
  const file = path.join(folder, 'clicks.csv')
  const rows = Array.from({ length: 12_000 }, (_, index) => `${index + 1},${index % 50 ? 7 : ''},2023-01-02 03:04:05`)
  await writeFile(file, `event_id,user_id,time\n${rows.join('\n')}\n`)
  // More than a worker takes between two looks at the run.
  posthog.fault({ kind: 'latency', ms: 400 })
  // Its workers end before it tells where the run is.
  const runIt = () => heapferryHere(['run', file, '--run', 'e2e', '--workers', '1', '--no-dashboard'], options())
  const paused = await runIt()
  expect(paused.code).toBe(1)
  expect(paused.stdout).toContain('rows of clicks were rejected (2.0%), more than the 1% that the run allows')
  posthog.clearFaults()

  const went = await runIt()
  expect(went.code).toBe(3)
  expect(posthog.stored.size).toBe(11_760)
  const { timeline } = JSON.parse((await command({}, 'status', 'e2e', '--json')).stdout)
  expect(timeline.map(({ kind, by }: { kind: string; by?: string }) => [kind, by ?? null])).toEqual([
    ['created', userInfo().username],
    ['phase_completed', null],
    ['transport_chosen', null],
    ['paused', 'heapferry'],
    ['resumed', userInfo().username],
    ['phase_completed', null],
  ])
})

test("workers count PostHog's answers, and say nothing more of themselves when they have ended", async () => {
  await writeSampleExport({ folder: source, seed: 1, people: 20, pageviewRows: 3000, eventRows: 50, traps: false })
  posthog.fault({ kind: 'status', status: 503, next: 2 })
  const server = await openPrivateRedis({ home: path.join(folder, 'redis-home'), serverCandidates })
  const redis = await connectRedis(server.url, () => {})
  onTestFinished(async () => {
    redis.disconnect()
    await server.close()
  })
  // Not auto: the question whether v1 is there would meet the fault.
  await migrated({ REDIS_URL: server.url, HEAPFERRY_TRANSPORT: 'v1' })
  const ledger = redisLedger(redis)
  const { byStatus, byTime, totalMs } = await ledger.answers(run)
  expect(byStatus).toEqual({ 200: posthog.requests['200'], 503: 2 })
  expect(byTime.reduce((sum, count) => sum + count, 0)).toBe(posthog.batches.length)
  expect(totalMs).toBeGreaterThan(0)
  expect(await ledger.pulses(run)).toEqual([])
})

const theRun = () => ['run', source, '--run', run, '--json']

async function migrated(env: Record<string, string> = {}) {
  return ended(await command(env, ...theRun()))
}

/** As a person starts it: with two workers and a page. */
async function asProcess() {
  return ended(await heapferry(theRun(), options()).ended)
}

function ended({ code, stdout, stderr }: { code: number | null; stdout: string; stderr: string }) {
  const last = stdout.trim().split('\n').at(-1) ?? ''
  if (!last.startsWith('{')) throw new Error(`no status came: ${stderr}`)
  const status: RunStatus = JSON.parse(last)
  return { code, status, stderr }
}

async function refused(...flags: string[]): Promise<string> {
  const { code, stderr } = await heapferryHere(['run', source, '--run', run, ...flags], options())
  expect(code).toBe(1)
  return stderr
}

function command(env: Record<string, string>, ...args: string[]) {
  return heapferryAnswer(args, options(env))
}

function options(env: Record<string, string> = {}) {
  const settings = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
  }
  return { cwd: folder, env: { ...settings, ...env } }
}

function stored() {
  return new Map(
    [...posthog.stored].map(([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }]),
  )
}
