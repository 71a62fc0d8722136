import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryAnswer, heapferryHere } from '../support/heapferry-here.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_mapping0000000000000000000000000000000000'
const salt = 'a salt of at least sixteen characters'

let folder: string
let posthog: FakePostHog

beforeEach(async () => {
  folder = await temporaryFolder()
  posthog = await startFakePostHog({ apiKey, keep: 'events' })
  onTestFinished(() => posthog.stop())
  await writeFile(
    path.join(folder, 'signup.csv'),
    'event_id,user_id,time,email,plan\n1,2,2023-01-02 03:04:05,ada@example.com,Pro\n3,4,2023-01-02 03:04:05,bob@example.com,Free\n',
  )
})

test('mapping init writes a file that changes nothing, and its schema; never over one that is there, unless told so', async () => {
  expect(await command({}, 'mapping', 'init', 'signup.csv')).toMatchObject({ code: 0 })
  const text = await readFile(path.join(folder, 'heapferry.yaml'), 'utf8')
  expect(text).toMatch(/^# yaml-language-server: \$schema=heapferry\.schema\.json\n/)
  expect(text).toContain('  # email: hash  # signup\n')
  expect(text).not.toContain('@example.com')
  expect(JSON.parse(await readFile(path.join(folder, 'heapferry.schema.json'), 'utf8'))).toMatchObject({
    title: 'heapferry mapping file',
  })
  expect(await command({}, 'mapping', 'check', 'heapferry.yaml')).toMatchObject({ code: 0 })

  await writeFile(path.join(folder, 'heapferry.yaml'), 'persons: skip\n')
  const again = await command({}, 'mapping', 'init', 'signup.csv')
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('heapferry.yaml is there already') })
  expect(await readFile(path.join(folder, 'heapferry.yaml'), 'utf8')).toBe('persons: skip\n')
  expect(await command({}, 'mapping', 'init', 'signup.csv', '--force')).toMatchObject({ code: 0 })
  expect(await readFile(path.join(folder, 'heapferry.yaml'), 'utf8')).toBe(text)

  await writeFile(path.join(folder, 'heapferry.schema.json'), '{"title": "mine"}')
  const other = await command({}, 'mapping', 'init', 'signup.csv', '--out', 'other.yaml')
  expect(other).toMatchObject({ code: 1, stderr: expect.stringContaining('not of heapferry') })
  expect(await readFile(path.join(folder, 'heapferry.schema.json'), 'utf8')).toBe('{"title": "mine"}')
})

test('mapping check names every fault, and tells the fingerprint that status shows', async () => {
  await writeFile(path.join(folder, 'bad.yaml'), 'persons: st\ntabels: {}\n')
  const bad = await command({}, 'mapping', 'check', 'bad.yaml')
  expect(bad).toMatchObject({ code: 1, stderr: expect.stringMatching(/line 1, column 10: [^]*did you mean tables\?/) })

  await writeFile(path.join(folder, 'good.yaml'), 'persons: skip\n')
  const { fingerprint } = JSON.parse((await command({}, 'mapping', 'check', 'good.yaml', '--json')).stdout)
  expect(await command({}, 'run', 'signup.csv', '--run', 'a', '--mapping', 'good.yaml')).toMatchObject({ code: 0 })
  expect(JSON.parse((await command({}, 'status', 'a', '--json')).stdout)).toMatchObject({
    mapping_fingerprint: fingerprint,
  })
  expect((await command({}, 'status', 'a')).stdout).toContain(`mapping ${fingerprint}`)
})

test('a mapping that hashes is refused without a salt, before anything is sent', async () => {
  await writeFile(path.join(folder, 'heapferry.yaml'), 'properties: { email: hash }\n')
  for (const name of ['run', 'plan']) {
    const refused = await heapferryHere([name, 'signup.csv', '--mapping', 'heapferry.yaml'], options({}))
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/HEAPFERRY_HASH_SALT is not set[^]*openssl/),
    })
  }
  expect(posthog.batches).toEqual([])
})

test('a run refuses another salt and another mapping, and says which keys differ and what PostHog would make of it', async () => {
  const mapping = path.join(folder, 'heapferry.yaml')
  await writeFile(mapping, 'properties: { email: hash, plann: drop }\n')
  const first = await runAgain({ HEAPFERRY_HASH_SALT: salt })
  expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining('did you mean plan?') })
  expect([...posthog.stored.values()].map(({ properties }) => properties?.email)).toEqual([
    expect.stringMatching(/^[0-9a-f]{64}$/),
    expect.stringMatching(/^[0-9a-f]{64}$/),
  ])

  const otherSalt = await refusedAgain({ HEAPFERRY_HASH_SALT: `${salt}!` })
  expect(otherSalt).toMatchObject({ code: 1, stderr: expect.stringContaining('with another HEAPFERRY_HASH_SALT') })

  await writeFile(mapping, 'properties: { email: hash }\n')
  const otherRules = await refusedAgain({ HEAPFERRY_HASH_SALT: salt })
  expect(otherRules.code).toBe(1)
  expect(otherRules.stderr).toContain('was created with another mapping')
  expect(otherRules.stderr).toContain('properties.plann: drop → (nothing)')
  expect(otherRules.stderr).toContain('Uuids, names, times and distinct_ids stay the same')
  await writeFile(mapping, 'properties: { email: hash, plann: drop }\ntables: { signup: { event: Signed up } }\n')
  expect((await refusedAgain({ HEAPFERRY_HASH_SALT: salt })).stderr).toMatch(
    /tables\.signup\.event: \(nothing\) → Signed up\n.*Events may get other names\./,
  )

  await writeFile(mapping, 'properties: { plann: drop, email: hash }\n')
  expect(await runAgain({ HEAPFERRY_HASH_SALT: salt })).toMatchObject({ code: 0 })
  expect(posthog.stored.size).toBe(2)
})

test('a worker with another salt leaves the run alone, and says so; one with the salt completes it', async () => {
  await writeFile(path.join(folder, 'heapferry.yaml'), 'properties: { email: hash }\n')
  const enqueued = ['enqueue', 'signup.csv', '--run', 'a', '--mapping', 'heapferry.yaml']
  expect(await command({ HEAPFERRY_HASH_SALT: salt }, ...enqueued)).toMatchObject({ code: 0 })
  const wrong = start({}, 'worker', '--run', 'a')
  await until('the worker has seen the run', () => wrong.stderr().includes('another HEAPFERRY_HASH_SALT'))
  wrong.child.kill('SIGTERM')
  await wrong.ended
  expect(posthog.batches).toEqual([])
  const right = start({ HEAPFERRY_HASH_SALT: salt }, 'worker', '--run', 'a')
  await until('the events are there', () => posthog.stored.size === 2)
  right.child.kill('SIGTERM')
  expect((await right.ended).stderr + right.stdout()).not.toContain(salt)
})

test('rejected rows of a run that hashes are sent again with its salt, by its people, and get the same hashes', async () => {
  await writeFile(
    path.join(folder, 'signup.csv'),
    'event_id,user_id,time,email\n1,2,2023-01-02 03:04:05,ada@example.com\n3,,2023-01-02 03:04:05,ada@example.com\n',
  )
  await writeFile(path.join(folder, 'heapferry.yaml'), 'properties: { email: hash }\n')
  const withSalt = { HEAPFERRY_HASH_SALT: salt }
  const run = await command(withSalt, 'run', 'signup.csv', '--run', 'a', '--mapping', 'heapferry.yaml')
  expect(run.code).toBe(3)
  expect(await command({}, 'rejected', 'a', '--out', 'rows.csv')).toMatchObject({ code: 0 })
  const rows = path.join(folder, 'rows.csv')
  await writeFile(rows, (await readFile(rows, 'utf8')).replace(',3,,2023', ',3,4,2023'))

  await writeFile(path.join(folder, 'other.yaml'), 'identity: hash\n')
  for (const [env, args, why] of [
    [{}, [], 'HEAPFERRY_HASH_SALT is not set'],
    [{ HEAPFERRY_HASH_SALT: `${salt}!` }, [], 'hashes with another salt'],
    [withSalt, ['--mapping', 'other.yaml'], 'has identity: keep'],
  ] as const) {
    const refused = await command(env, 'retry', 'a', '--from', 'rows.csv', ...args)
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(why) })
  }
  expect(posthog.stored.size).toBe(1)
  expect(await command(withSalt, 'retry', 'a', '--from', 'rows.csv')).toMatchObject({ code: 0 })
  const hashes = [...posthog.stored.values()].map(({ properties }) => properties?.email)
  expect(hashes).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), hashes[0]])
})

test('events of ids that the export knows nothing about are personless, those of people are not', async () => {
  await writeFile(
    path.join(folder, 'users.csv'),
    'user_id,identity,joindate\n2,ada,2023-01-01 00:00:00\n4,,2023-01-01 00:00:00\n',
  )
  await writeFile(path.join(folder, 'heapferry.yaml'), 'anonymous: personless\n')
  const { code, stdout } = await command({}, 'run', '*.csv', '--run', 'a', '--mapping', 'heapferry.yaml', '--json')
  expect(code).toBe(0)
  const { totals } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  expect(totals).toMatchObject({ sent: 3, skipped_by_reason: { persons_skipped: 1 } })
  const found = [...posthog.stored.values()].map(({ event, distinct_id, properties }) => [
    event,
    distinct_id,
    properties?.$process_person_profile ?? null,
  ])
  expect(found.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))).toEqual([
    ['$identify', 'ada', null],
    ['signup', '2', null],
    ['signup', '4', false],
  ])
})

const theRun = ['run', 'signup.csv', '--run', 'a', '--mapping', 'heapferry.yaml']

function runAgain(env: Record<string, string>) {
  return command(env, ...theRun)
}

function refusedAgain(env: Record<string, string>) {
  return heapferryHere(theRun, options(env))
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
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
  }
  return { cwd: folder, env: { ...settings, ...env } }
}
