import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { PostHogVerification, RunId, type VerificationHold } from '@heapferry/domain'
import { startDashboard } from '@heapferry/dashboard'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { connectRedis, openPrivateRedis, type Redis, redisLedger } from '@heapferry/queue'
import { writeSampleExport } from '@heapferry/sample-export'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { heapferryAnswer } from '../support/heapferry-here.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { until } from '../support/until.ts'
import { ask, dashboardProcess, open, optionsOf } from './support.ts'

const apiKey = 'phc_calendar0000000000000000000000000000000000'
const personalKey = 'phx_calendar0000000000000000000000000000000000'
const passwords = { operator: 'operator-password', viewer: 'viewer-password' }
const asOperator = { authorization: `Bearer ${passwords.operator}` }
const asViewer = { authorization: `Bearer ${passwords.viewer}` }
const run = RunId.parse('seen')

let folder: string
let posthog: FakePostHog
let server: Awaited<ReturnType<typeof openPrivateRedis>>
let redis: Redis
let env: Record<string, string>

/** One run for all tests: what they see is what PostHog says of it. */
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'heapferry-test-'))
  posthog = await startFakePostHog({ apiKey, keep: 'events', queries: { personalKey } })
  server = await openPrivateRedis({ home: path.join(folder, 'redis-home'), serverCandidates })
  redis = await connectRedis(server.url, () => {})
  const source = path.join(folder, 'export')
  await writeSampleExport({ folder: source, seed: 7, people: 40, pageviewRows: 300, eventRows: 100, traps: false })
  env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: server.url,
  }
  await heapferryAnswer(['run', source, '--run', run], { cwd: folder, env })
})

afterAll(async () => {
  redis.disconnect()
  await server.close()
  await posthog.stop()
  await rm(folder, { recursive: true, force: true })
})

test('a run is verified from its page, which then shows what the command finds: by day and name, and people by month', async () => {
  const withKey = { HEAPFERRY_DASHBOARD_PASSWORD: passwords.operator, POSTHOG_PERSONAL_API_KEY: personalKey }
  const { url } = await dashboardProcess(folder, { ...env, ...withKey })
  expect(textOf(await page(url, ''))).toContain('Verify…')
  const asked = await ask(`${url}/runs/${run}/verify`, { method: 'POST', headers: asOperator })
  expect([asked.status, asked.headers.location]).toEqual([303, `/runs/${run}/verification`])
  await until('it is verified', async () => (await redisLedger(redis).verifications(run)).posthog !== null)
  const verification = await verifiedByCommand()
  const stored = await redisLedger(redis).verifications(run)
  expect(stored.posthog?.totals).toEqual(verification.totals)

  await until('the page tells of it', async () => !textOf(await page(url, '/verification')).includes('Verifying:'))
  const text = textOf(await page(url, '/verification'))
  expect(text).toContain(`verified ${verification.message}`)
  const [first] = verification.events
  expect(text).toContain(first?.event)
  const sums = await redisLedger(redis).verifiedEvents(
    run,
    verification.events.map(({ event }) => event),
  )
  const sumOf = (of: number) => sums[of]?.days.reduce((all, { found }) => all + found, 0)
  expect(sums.map((_, nth) => sumOf(nth))).toEqual([
    verification.totals.found,
    ...verification.events.map(({ found }) => found),
  ])
  const months = sums.flatMap(({ people }) => people ?? [])
  expect(months.length).toBe(verification.unique_people?.compared)
  expect(months.every(({ expected, found, outcome }) => expected === found && outcome === 'same')).toBe(true)
  expect(text).toContain('people in Heap people in PostHog')
  // Nobody reads a screenful of what agrees.
  expect(text).toContain(` ${months.length} counts the same event month people in Heap`)
})

test('what PostHog lost is missing on its day, in the sum of all and on the page, or pending while it may come', async () => {
  const [one] = [...posthog.stored.values()].filter(({ event }) => event === '$pageview')
  const day = one?.timestamp.slice(0, 10) ?? ''
  const isLost = ({ event, timestamp }: { event: string; timestamp: string }) =>
    event === '$pageview' && timestamp.startsWith(day)
  posthog.queries?.lose(isLost)
  const lost = [...posthog.stored.values()].filter(isLost).length
  const url = await open(redis, { passwords })

  await verifiedByCommand('--lag', '0')
  const shown = await page(url, `/verification?from=${day}&to=${day}`)
  const cells = [...shown.matchAll(/<td class="([^"]*)" title="([^"]*)">/g)].map(([, kind, title]) => [kind, title])
  const expected = cells[0]?.[1]?.match(/of ([\d,]+)$/)?.[1]
  expect(cells[0]).toEqual([expect.stringMatching(/^missing/), `${day}: ${lost} missing of ${expected}`])
  expect(cells[1]).toEqual(['missing many', `${day}: ${lost} missing of ${lost}`])
  expect(textOf(shown)).toContain(`$pageview ${day} ${lost} ${lost} 0 ${lost} missing`)

  await verifiedByCommand()
  expect(textOf(await page(url, `/verification?from=${day}&to=${day}`))).toContain(`${lost} not found yet`)
  posthog.queries?.lose(() => false)
})

test('who has no key is told the command, viewers see no button, and no address breaks the page', async () => {
  const url = await open(redis, { passwords })
  expect(textOf(await page(url, ''))).not.toContain('Verify…')
  expect((await ask(`${url}/runs/${run}/verify`, { headers: asOperator })).status).toBe(404)
  const refused = await ask(`${url}/runs/${run}/verify`, { method: 'POST', headers: asOperator })
  expect([refused.status, refused.text]).toEqual([409, expect.stringContaining('POSTHOG_PERSONAL_API_KEY')])

  const withKey = await open(redis, { passwords, verify: () => () => Promise.resolve() })
  for (const rest of ['', '/verification']) {
    const seen = await ask(`${withKey}/runs/${run}${rest}`, { headers: asViewer })
    expect([seen.status, textOf(seen.text).includes('Verification')]).toEqual([200, true])
    expect(seen.text).not.toContain(`/runs/${run}/verify"`)
  }
  expect((await ask(`${withKey}/runs/${run}/verify`, { method: 'POST', headers: asViewer })).status).toBe(403)
  for (const query of ['from=2030-01-01', 'from=soon&to=never&page=-1', 'from=2023-02-31', 'page=999', 'from=a&from=b'])
    expect((await ask(`${withKey}/runs/${run}/verification?${query}`, { headers: asOperator })).status).toBe(200)
})

test('of two dashboards that are asked at once one verifies, and both tell how far it is until it has failed', async () => {
  const failing = new EventEmitter()
  const verify = () => (wanted: { onProgress: (now: { kind: 'reading'; table: string; rows: number }) => void }) => {
    wanted.onProgress({ kind: 'reading', table: 'clicks', rows: 1234 })
    return once(failing, 'now').then(() => Promise.reject(new Error('out of luck')))
  }
  const urls = [await open(redis, { passwords, verify }), await open(redis, { passwords, verify })]
  const wanted = { method: 'POST', headers: asOperator }
  const answers = await Promise.all(urls.map((url) => ask(`${url}/runs/${run}/verify`, wanted)))
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([303, 409])
  expect(answers.find(({ status }) => status === 409)?.text).toMatch(
    /operator \(token\) verifies seen since \d\d:\d\d:\d\d UTC/,
  )
  for (const url of urls)
    await until('progress is told', async () => (await page(url, '')).includes('clicks, 1,234 rows'))
  failing.emit('now')
  await until('the failure is told', async () =>
    /could not be: unforeseen; the log/.test(textOf(await page(urls[0] ?? '', '/verification'))),
  )
})

test('the right to verify is one’s until it is given back, or forgotten', async () => {
  const ledger = redisLedger(redis)
  const mine: VerificationHold = { run, token: 'mine' }
  const other: VerificationHold = { run, token: 'other' }
  expect(await ledger.takeVerification(mine, 'ada')).toBeNull()
  expect(await ledger.takeVerification(other, 'eve')).toMatchObject({ by: 'ada', progress: { kind: 'asking' } })
  expect(await ledger.keepVerification(other, { kind: 'asking' })).toBe(false)
  expect(await ledger.keepVerification(mine, { kind: 'reading', table: 'taps', rows: 5 })).toBe(true)
  await ledger.endVerification(other)
  expect(await ledger.verificationUnderWay(run)).toMatchObject({ by: 'ada', progress: { table: 'taps', rows: 5 } })
  expect(await redis.pttl(`heapferry-ledger:run:${run}:verifying`)).toBeGreaterThan(0)
  await ledger.endVerification(mine)
  expect(await ledger.verificationUnderWay(run)).toBeNull()
})

test('a dashboard that ends takes its verification with it, and the history of the run says so', async () => {
  const dashboard = await startDashboard({ ...optionsOf(redis), verify: () => untilStopped })
  expect((await ask(`${dashboard.url}/runs/${run}/verify`, { method: 'POST' })).status).toBe(303)
  await dashboard.close()
  const ledger = redisLedger(redis)
  expect(await ledger.verificationUnderWay(run)).toBeNull()
  expect((await ledger.timeline(run)).at(-1)).toMatchObject({
    kind: 'verification_failed',
    detail: 'the dashboard ended',
  })
})

async function untilStopped({ stop }: { stop: AbortSignal }): Promise<void> {
  await once(stop, 'abort')
  stop.throwIfAborted()
}

async function page(url: string, rest: string): Promise<string> {
  return (await ask(`${url}/runs/${run}${rest}`, { headers: asOperator })).text
}

async function verifiedByCommand(...more: string[]): Promise<PostHogVerification> {
  const { stdout } = await heapferryAnswer(['verify', run, '--json', ...more], {
    cwd: folder,
    env: { ...env, POSTHOG_PERSONAL_API_KEY: personalKey },
  })
  return PostHogVerification.parse(JSON.parse(stdout))
}

/** What a page says, in words with one space between them. */
function textOf(markup: string): string {
  return markup
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
}
