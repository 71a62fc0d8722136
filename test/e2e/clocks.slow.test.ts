import path from 'node:path'
import { RunId } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { redisLedger } from '@heapferry/queue'
import { writeBenchCsv } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { withoutFirstTouch } from '../support/without-first-touch.ts'

const apiKey = 'phc_clocks00000000000000000000000000000000000000'
const hourMs = 3_600_000
const rows = 4000
const server = redisForTests()

test('a worker whose clock is set back an hour while it waits goes on when PostHog does, and keeps its chunk', async () => {
  const { run, env, folder, posthog, statusNow } = await enqueued('set-back')
  posthog.fault({ kind: 'status', status: 429, retryAfterS: 16, next: 1 })
  const worker = heapferry(['worker', '--run', run], { cwd: folder, env: withClock(env, 0) })
  await until('it was told to wait', () => posthog.requests['429'] === 1)
  worker.child.kill('SIGUSR2')
  const locks = () => server.redis.keys(`heapferry:${run}-events:*:lock`)
  const held = await locks()
  expect(held.length).toBeGreaterThan(0)
  const tokens = await server.redis.mget(held)
  // Longer than a lock lasts that nobody renews.
  await until('it goes on', () => (posthog.requests['200'] ?? 0) > 0, 40_000)
  expect(await server.redis.mget(held)).toEqual(tokens)
  await until('all is sent', async () => (await statusNow()).state === 'completed', 60_000)
  expect(posthog.stored.size).toBe(rows)
  const waited = (await redisLedger(server.redis).timeline(run)).find(({ kind }) => kind === 'waited')
  if (waited?.kind !== 'waited') throw new Error('the wait is not in the timeline')
  expect(waited.untilMs - waited.atMs).toBeGreaterThan(14_000)
  expect(waited.untilMs - waited.atMs).toBeLessThan(120_000)
})

test.each([
  ['ahead', hourMs],
  ['behind', -hourMs],
])(
  'a worker and a producer whose clocks are an hour %s are told as alive, and make nobody else look dead',
  async (_, byMs) => {
    const { run, env, folder, statusNow } = await enqueued(`off-${byMs < 0 ? 'behind' : 'ahead'}`, byMs)
    const pacing = ['pace', run, '50']
    expect(await heapferryHere(pacing, { cwd: folder, env })).toMatchObject({ code: 0 })
    heapferry(['worker', '--run', run], { cwd: folder, env: withClock(env, byMs) })
    heapferry(['worker', '--run', run], { cwd: folder, env })
    const ledger = redisLedger(server.redis)
    await until('both report', async () => (await ledger.pulses(run)).length === 2, 40_000)
    await until('there is a rate', async () => (await statusNow()).rate !== null, 40_000)
    const nowMs = await ledger.nowMs(run)
    for (const { atMs } of await ledger.pulses(run)) expect(Math.abs(nowMs - atMs)).toBeLessThan(60_000)
    for (const { atMs } of await ledger.timeline(run)) expect(Math.abs(nowMs - atMs)).toBeLessThan(600_000)
    const seen = await statusNow()
    expect(seen.trouble).toEqual([])
    // Also seen by somebody whose own clock is off.
    const said = heapferry(['status', run, '--json'], { cwd: folder, env: withClock(env, byMs) })
    const there = JSON.parse((await said.ended).stdout)
    expect([there.state, there.trouble]).toEqual([seen.state, []])
    expect(there.rate).toBeGreaterThan(0)
  },
)

function withClock(env: Record<string, string>, byMs: number): Record<string, string> {
  const preload = path.resolve(import.meta.dirname, '../support/shifted-clock.mjs')
  return { ...env, NODE_OPTIONS: `--import=${preload}`, HEAPFERRY_TEST_CLOCK_MS: String(byMs) }
}

/** A run of one file that waits for workers, planned by a machine whose clock is off. */
async function enqueued(name: string, byMs = 0) {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const run = RunId.parse(name)
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: server.server.url,
    // The first request is one with events.
    HEAPFERRY_TRANSPORT: 'batch',
  }
  const source = path.join(folder, 'pageviews.csv')
  await writeBenchCsv(source, { rows, seed: 7 })
  const enqueuing = heapferry(['enqueue', source, '--run', run, ...(await withoutFirstTouch(folder))], {
    cwd: folder,
    env: withClock(env, byMs),
  })
  expect((await enqueuing.ended).code).toBe(0)
  return {
    run,
    env,
    folder,
    posthog,
    statusNow: async () => JSON.parse((await heapferryHere(['status', run, '--json'], { cwd: folder, env })).stdout),
  }
}
