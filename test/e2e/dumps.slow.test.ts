import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { RunId } from '@heapferry/domain'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import type { RunStatus } from '@heapferry/migration'
import { openWorkStore } from '@heapferry/sources'
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { noS3 } from '../support/place.ts'
import { workersOf } from '../support/processes.ts'
import { type SampleDumpManifest, writeSampleDump } from '../support/sample-dump.ts'
import { startS3StandIn } from '../support/s3-stand-in.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_dumps000000000000000000000000000000000000'
const run = RunId.parse('dumps')
const credentials = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }
vi.stubEnv('AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED', 'true')
for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value)

let folder: string
let tree: string
let written: SampleDumpManifest
let posthog: FakePostHog

beforeEach(async () => {
  folder = await temporaryFolder()
  tree = path.join(folder, 'heap-rs3-example')
  written = await writeSampleDump({ folder: tree, seed: 8, people: 1200, visits: 1500 })
  posthog = await startFakePostHog({ apiKey, keep: 'events' })
  onTestFinished(() => posthog.stop())
})

/** Where the tree of dumps lies, and where producer and workers meet. */
const places = {
  async bucket() {
    const store = await startS3StandIn()
    onTestFinished(() => store.close())
    for (const entry of await readdir(tree, { recursive: true, withFileTypes: true })) {
      const file = path.join(entry.parentPath, entry.name)
      if (entry.isFile()) await store.put(`heap/${path.relative(tree, file)}`, await readFile(file))
    }
    const s3 = { endpoint: store.endpoint, pathStyle: true, requesterPays: false }
    return {
      source: 's3://acme/heap',
      env: { ...credentials, HEAPFERRY_S3_ENDPOINT: store.endpoint, HEAPFERRY_WORK_STORE: 's3://acme/work' },
      workStore: () => openWorkStore('s3://acme/work', s3),
      add: (name: string, text: string) => store.put(`heap/${name}`, text),
    }
  },
  async folder() {
    const source = path.join(folder, 'copy')
    await cp(tree, source, { recursive: true })
    return {
      source,
      env: { HEAPFERRY_WORK_STORE: path.join(folder, 'work') },
      workStore: () => openWorkStore(path.join(folder, 'work'), noS3),
      add: (name: string, text: string) => writeFile(path.join(source, name), text),
    }
  },
}

test.each(['bucket', 'folder'] as const)(
  'dumps of Heap Connect in a %s arrive whole and once, and nobody is joined to another, although a worker is killed, the run is stopped, and a new dump comes before it goes on',
  async (kind) => {
    const { source, env, workStore, add } = await places[kind]()
    const planned = JSON.parse((await start(env, 'plan', source, '--full', '--json').ended).stdout)
    // Slow answers, so that what is killed has work in flight.
    posthog.fault({ kind: 'latency', ms: 400 })
    const first = start(env, 'run', source, '--json')
    await until('people arrive', () => posthog.stored.size > 500, 60_000)
    const [victim] = workersOf(first.child.pid)
    if (victim === undefined) throw new Error('the run has no worker')
    process.kill(victim, 'SIGKILL')
    await until('another worker has taken its place', () => {
      const workers = workersOf(first.child.pid)
      return workers.length === 2 && !workers.includes(victim)
    })
    await until('events arrive', () => countOf('$pageview') > 1000, 60_000)
    first.child.kill('SIGINT')
    expect((await first.ended).code).toBe(130)
    const storedBefore = posthog.stored.size

    await add(written.nextManifest.path, written.nextManifest.text)
    posthog.clearFaults()
    const { code, stdout, stderr } = await start(env, 'run', source, '--json').ended
    expect([code, stderr]).toEqual([0, expect.stringContaining('dump 1001 came after this run was planned, left out')])
    const status: RunStatus = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
    expect(status.state).toBe('completed')

    // The tree as the run was planned with it, read in one piece.
    const expected = await convertible(tree, { run, home: '', store: await workStore() })
    const stored = [...posthog.stored]
    expect(stored.length).toBeGreaterThan(storedBefore)
    expect(
      new Map(stored.map(([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }])),
    ).toEqual(expected.events)

    // And what was written, which no reader has seen.
    const ofExport = status.tables.filter(({ table }) => table !== 'first_touch')
    const rowsRead = Object.fromEntries(ofExport.map(({ table, read }) => [table, read]))
    expect(rowsRead).toEqual(Object.fromEntries(Object.entries(written.tables).map(([name, { rows }]) => [name, rows])))
    const ids = written.people.flatMap((person) => person.ids)
    // Of each id one row counts, of the newest dump that has one, and of a person with several ids those that say more than
    // newer ones, in the plan as in the run.
    const sent = stored.filter(
      ([uuid, { event }]) => !expected.made.has(uuid) && (event === '$identify' || event === '$set'),
    )
    const superseded = (written.tables['users']?.rows ?? 0) - sent.length
    const withOneId = written.people.filter((person) => person.ids.length === 1)
    expect(sent.length).toBeLessThanOrEqual(ids.length)
    const idsSent = new Set(
      sent.flatMap(([, { distinct_id, properties }]) => [distinct_id, String(properties?.['$anon_distinct_id'])]),
    )
    for (const { ids: own } of withOneId) expect([own, own.some((id) => idsSent.has(id))]).toEqual([own, true])
    expect(status.tables.find(({ table }) => table === 'users')?.skipped_by_reason).toEqual({ superseded })
    expect(planned.tables.find(({ table }: { table: string }) => table === 'users').skipped).toMatchObject([
      { reason: 'superseded', rows: { count: superseded, exact: true } },
    ])
    const eventIds = Object.entries(written.tables).flatMap(([name, table]) =>
      name === 'sessions' ? [] : [...table.eventIds],
    )
    const arrived = stored.flatMap(([, { properties }]) => {
      const id = properties?.['heap_event_id']
      return typeof id === 'string' ? [id] : []
    })
    expect(arrived.toSorted()).toEqual(eventIds.toSorted())

    const { persons } = posthog
    const found = written.people.map((person) =>
      [...person.ids, ...(person.identity === null ? [] : [person.identity])].map((id) => persons.personOf(id)),
    )
    for (const [index, one] of found.entries())
      expect([index, new Set(one).size, one[0] !== undefined]).toEqual([index, 1, true])
    expect(new Set(found.flat()).size).toBe(written.people.length)
    expect(new Set(sent.map(([, { distinct_id }]) => persons.personOf(distinct_id))).size).toBe(written.people.length)
    const { persons: count, refusedMerges } = persons.counts()
    expect(count).toBe(written.people.length)
    expect(refusedMerges).toEqual({ illegal_distinct_id: 0, already_identified: 0, alias_is_no_text: 0 })
  },
)

test('rejected rows of a dump that a later one replaces are sent by a retry with another mapping', async () => {
  const { source, env, add } = await places.folder()
  const signups = 'signup_click_start_free_trial'
  const mapping = (event: string) => JSON.stringify({ tables: { [signups]: { event } } })
  await writeFile(path.join(folder, 'old.yaml'), mapping('n'.repeat(201)))
  await writeFile(path.join(folder, 'new.yaml'), mapping('Trial started'))
  const first = await start(env, 'run', source, '--mapping', 'old.yaml', '--max-rejected', '100').ended
  expect(first.code).toBe(3)

  await add(written.nextManifest.path, written.nextManifest.text)
  const retry = await start(env, 'retry', run, '--mapping', 'new.yaml').ended
  expect(retry).toMatchObject({ code: 0, stdout: expect.stringContaining('The run has no rejected rows now.') })
  expect(countOf('Trial started')).toBe(written.tables[signups]?.eventIds.size)
})

function start(env: Record<string, string>, command: 'plan' | 'run' | 'retry', ...args: string[]) {
  const settings = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    ...env,
  }
  const flags = command === 'run' ? ['--run', run, '--workers', '2', '--no-dashboard'] : []
  return heapferry([command, ...args, ...flags], { cwd: folder, env: settings })
}

function countOf(event: string): number {
  return [...posthog.stored.values()].filter((stored) => stored.event === event).length
}
