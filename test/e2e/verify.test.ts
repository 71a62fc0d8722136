import { appendFile, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { PostHogVerification, SourceVerification } from '@heapferry/domain'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { writeSampleExport } from '@heapferry/sample-export'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { heapferry } from '../support/heapferry.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_verify00000000000000000000000000000000000000'
const personalKey = 'phx_verify00000000000000000000000000000000000000'
const unchanged = { lagMs: 0, unmerged: false, scopes: ['query:read', 'project:read'] as const }
const dayMs = 86_400_000

let folder: string
let source: string
let posthog: FakePostHog
let isSent = false

/** One run for all tests: what they verify is what PostHog says of it. */
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'heapferry-test-'))
  source = path.join(folder, 'export')
  posthog = await startFakePostHog({ apiKey, keep: 'events', queries: { personalKey } })
  await writeSampleExport({ folder: source, seed: 11, people: 150, pageviewRows: 1500, eventRows: 700, traps: true })
})

afterAll(async () => {
  await posthog.stop()
  await rm(folder, { recursive: true, force: true })
})

beforeEach(async () => {
  posthog.queries?.lose(() => false)
  posthog.queries?.regroup(() => undefined)
  posthog.queries?.change(unchanged)
  if (isSent) return
  // By v1 a row that the export repeats goes out once, and PostHog would have no copies to merge.
  const { code } = await command({ HEAPFERRY_TRANSPORT: 'batch' }, 'run', source, '--run', 'e2e')
  expect(code).toBe(3)
  isSent = true
}, 120_000)

test('an export with everything that real exports suffer from is verified, repeated rows and people included', async () => {
  posthog.queries?.change({ unmerged: true })
  const [[uuid, event] = []] = posthog.stored
  await arrives({ uuid, ...event })
  const { code, verification } = await verified()
  expect([verification.message, code]).toEqual([expect.stringMatching(/^PostHog holds all [\d,]+ events/), 0])
  const { totals, people, differing, notes } = verification
  expect([totals.found, totals.expected]).toEqual([posthog.stored.size, posthog.stored.size])
  expect(differing).toEqual([])
  expect(totals.sent).toBeGreaterThan(totals.expected)
  expect(totals.copies).toBeGreaterThan(0)
  expect(notes).toEqual(expect.arrayContaining([expect.stringContaining('Rows of the export that repeat others')]))
  expect(people).toEqual({ sampled: people?.sampled, joined: people?.sampled, apart: 0, absent: 0, mixed: 0 })
  expect(people?.sampled).toBeGreaterThan(20)
  expect(verification.unique_people).toMatchObject({
    differing: [],
    left_out: 0,
    sample: { people: 32, differing: [] },
  })
  expect(verification.unique_people?.compared).toBeGreaterThan(20)
})

test('people whom PostHog has not made one are missing merges, named by event, month and user ids', async () => {
  const ofPerson = new Map<unknown, Set<string>>()
  for (const { event, distinct_id } of posthog.stored.values()) {
    if (event !== '$pageview') continue
    const person = posthog.persons.personOf(distinct_id)
    ofPerson.set(person, (ofPerson.get(person) ?? new Set()).add(distinct_id))
  }
  const [[apart, other] = []] = [...ofPerson.values()].filter(({ size }) => size > 1)
  posthog.queries?.regroup((id) => (id === apart ? 'a person of their own' : undefined))

  const { code, verification } = await verified('--lag', '0')
  expect([code, verification.message]).toEqual([5, expect.stringMatching(/merges of people in \d+ of \d+ counts/)])
  const difference = verification.unique_people?.differing.find(({ event }) => event === '$pageview')
  expect(difference?.found).toBe((difference?.expected ?? 0) + 1)
  expect(difference?.people[0]?.ids).toEqual(expect.arrayContaining([apart, other]))
  const { stdout } = await command({}, 'verify', 'e2e', '--lag', '0')
  expect(stdout).toMatch(/^ {2}\d{4}-\d\d {2}\$pageview +\d+ +\d+$/m)
  expect(stdout).toMatch(/user ids \d+, \d+: 1 person in Heap, 2 in PostHog:\s/)
  expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
  await command({}, 'report', 'e2e')
  const page = await readFile(path.join(folder, 'home', 'runs', 'e2e', 'report.html'), 'utf8')
  expect(page).toContain(`user ids ${difference?.people[0]?.ids.join(', ')}: 1 person in Heap, 2 in PostHog`)
  expect((await verified('--no-people')).verification.unique_people).toBeNull()
})

test('the verdict fits a terminal, and stands in the history of the run', async () => {
  const { stdout } = await command({}, 'verify', 'e2e')
  expect(stdout).toContain('$pageview')
  expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
  expect((await command({}, 'status', 'e2e')).stdout).toMatch(/compared with PostHog by \S+: verified/)
})

test('events that PostHog lost are missing, by event and day', async () => {
  const [one] = [...posthog.stored.values()].filter(({ event }) => event === '$pageview')
  const day = one?.timestamp.slice(0, 10) ?? ''
  const isGone = ({ event, timestamp }: { event: string; timestamp: string }): boolean =>
    event === '$pageview' && timestamp.startsWith(day)
  posthog.queries?.lose(isGone)
  const gone = [...posthog.stored.values()].filter(isGone).length

  const early = await verified()
  expect([early.code, early.verification.verdict]).toEqual([4, 'pending'])
  expect(early.verification.differing).toMatchObject([{ event: '$pageview', day, expected: gone, found: 0 }])
  expect(early.verification.look_again_at).not.toBeNull()
  const { code, stdout } = await command({}, 'verify', 'e2e', '--lag', '0')
  expect([code, stdout]).toEqual([5, expect.stringContaining(`${gone} of `)])
  expect(stdout).toContain(`${day}  $pageview`)
})

test('while events are on their way the verdict is pending, and --wait waits for them', async () => {
  posthog.queries?.change({ lagMs: dayMs })
  const soon = await verified()
  expect([soon.code, soon.verification.verdict, soon.verification.totals.found]).toEqual([4, 'pending', 0])
  const waiting = start({}, 'verify', 'e2e', '--wait', '10')
  await until('it has looked once', () => waiting.stderr().includes('0 of '))
  posthog.queries?.change({ lagMs: 0 })
  const { code, stdout } = await waiting.ended
  expect([code, stdout]).toEqual([0, expect.stringContaining('PostHog holds all')])
})

test('offline the ledger is compared with a fresh read of the export, without any key', async () => {
  // What the documentation says to do when a migration is over.
  await rm(path.join(folder, 'home', 'runs', 'e2e'), { recursive: true })
  const { code, stdout } = await command({ POSTHOG_PERSONAL_API_KEY: '' }, 'verify', 'e2e', '--offline', '--json')
  const verification = SourceVerification.parse(JSON.parse(stdout))
  expect([verification.message, code]).toEqual([expect.stringContaining('says of every table'), 0])
  expect(verification.tables.every(({ differs }) => !differs)).toBe(true)
  expect(verification.tables.flatMap(({ figures }) => figures).length).toBeGreaterThan(20)

  const file = path.join(source, 'users.csv')
  await rename(file, `${source}.csv`)
  onTestFinished(() => rename(`${source}.csv`, file))
  await writeFile(file, 'user_id\n1\n')
  const changed = await command({}, 'verify', 'e2e', '--offline')
  expect([changed.code, changed.stderr]).toEqual([1, expect.stringContaining('users.csv')])
})

test('without the export, rows that it repeats cannot be told from missing ones, and that is said', async () => {
  await rename(source, `${source}-elsewhere`)
  onTestFinished(() => rename(`${source}-elsewhere`, source))
  const { code, verification } = await verified('--lag', '0')
  expect([code, verification.people]).toEqual([5, null])
  expect(verification.notes.join('\n')).toContain('The export could not be read again')
})

test('a project that is not the one of the run, and a key that may not ask, are told with what to do', async () => {
  posthog.queries?.change({ scopes: ['project:read'] })
  expect(await refused()).toContain("scope 'query:read'")
  expect(await refused('--project', '1')).toContain('The project 1 is not the one that the run was sent to')
})

test('a key in a file is taken, and no file of heapferry holds it', async () => {
  const file = path.join(folder, 'personal.key')
  await writeFile(file, `${personalKey}\n`)
  const env = { POSTHOG_PERSONAL_API_KEY: '', LOG_LEVEL: 'trace' }
  const { stdout, stderr } = await start(env, 'verify', 'e2e', '--personal-key-file', file).ended
  expect(stdout).toContain('$pageview')
  expect(stdout + stderr).not.toContain(personalKey)
  const kept = await everyFile(path.join(folder, 'home'))
  // Redis writes down what it keeps, the verdict too.
  expect(kept.filter((text) => text.includes('"verdict":"verified"')).length).toBeGreaterThan(0)
  expect(kept.filter((text) => text.includes(personalKey))).toEqual([])
})

test('events that the run did not send are a surplus', async () => {
  const [known] = [...posthog.stored.values()].filter(({ event }) => event === '$pageview')
  const strange = {
    uuid: '018a0000-0000-7000-8000-000000000001',
    event: 'strange',
    distinct_id: 'another',
    timestamp: known?.timestamp,
    properties: { $import_job_id: 'e2e' },
  }
  await arrives(strange)
  const { code, verification } = await verified()
  expect([code, verification.verdict]).toEqual([6, 'surplus'])
  expect(verification.differing).toHaveLength(1)
})

test('a run that is not finished is pending, whatever is found', async () => {
  await appendFile(path.join(source, 'late_event.csv'), 'event_id,user_id,time\n1,2,2023-01-02 03:04:05\n')
  const enqueued = await command({}, 'enqueue', source, '--run', 'e2e')
  expect([enqueued.code, enqueued.stderr]).toEqual([0, expect.any(String)])
  const { code, verification } = await verified()
  expect([code, verification.message]).toEqual([4, expect.stringContaining('The run is not finished')])
  const offline = await command({}, 'verify', 'e2e', '--offline')
  expect([offline.code, offline.stdout]).toEqual([4, expect.stringContaining('The run is not finished')])
})

async function arrives(event: unknown): Promise<void> {
  const body = JSON.stringify({ api_key: apiKey, batch: [event] })
  expect((await fetch(`${posthog.url}/batch/`, { method: 'POST', body })).status).toBe(200)
}

async function everyFile(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return Promise.all(files.map((entry) => readFile(path.join(entry.parentPath, entry.name), 'latin1')))
}

async function refused(...flags: string[]): Promise<string> {
  const { code, stdout, stderr } = await command({}, 'verify', 'e2e', ...flags)
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).not.toContain(personalKey)
  return stderr
}

async function verified(...flags: string[]) {
  const { code, stdout, stderr } = await command({}, 'verify', 'e2e', '--json', ...flags)
  if (!stdout.startsWith('{')) throw new Error(`no verification came: ${stderr}`)
  return { code, stderr, verification: PostHogVerification.parse(JSON.parse(stdout)) }
}

function command(env: Record<string, string>, ...args: string[]) {
  return heapferryAnswer(args, options(env))
}

function start(env: Record<string, string>, ...args: string[]) {
  return heapferry(args, options(env))
}

function options(env: Record<string, string>) {
  const settings = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    POSTHOG_PERSONAL_API_KEY: personalKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
  }
  return { cwd: folder, env: { ...settings, ...env } }
}
