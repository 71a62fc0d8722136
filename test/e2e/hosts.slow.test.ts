import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChunkId, Pulse, RunId } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { writeBenchCsv } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { keysOf } from '../../packages/queue/src/keys.ts'
import { redisNowMs } from '../../packages/queue/src/redis-clock.ts'
import { watchInvariants } from '../chaos/invariants.ts'
import { convertible } from '../support/convertible.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { networkHost, noHostsBecause } from '../support/network-hosts.ts'
import { startRedis } from '../support/redis-process.ts'
import { until } from '../support/until.ts'
import { withoutFirstTouch } from '../support/without-first-touch.ts'

const apiKey = 'phc_hosts000000000000000000000000000000000000000'
const hourMs = 3_600_000
/** Longer than a lock (10 s), than others take to look for lost ones (5 s) and than a silent connection is kept (15 s). */
const cutMs = 25_000
const because = noHostsBecause()
if (because !== null) console.log(`not run: several hosts, since ${because}`)

test.skipIf(because !== null)(
  'hosts that are cut off from Redis, from PostHog or from both, with clocks an hour off, and come back late, rewind nothing and double nothing',
  async () => {
    const { run, keys, admin, ports, hosts, posthog, watching, status, expected } = await scene()
    const [first, second, third] = hosts

    const zombies = await first.chunks()
    first.cutFrom(ports.redis)
    await sleep(cutMs)
    expect(first.dropped()).toBeGreaterThan(0)
    await until('others have its chunks', async () => (await movedOn(zombies)) === zombies.length)
    first.mend()
    await until('it reports again', async () => (await first.silentMs()) < 3000)

    const kept = await second.chunks()
    const before = await locksOf(kept)
    second.cutFrom(ports.posthog)
    await sleep(cutMs)
    expect(second.dropped()).toBeGreaterThan(0)
    // Who only waits for PostHog keeps its chunks.
    const locks = await locksOf(kept)
    for (const [nth, lock] of locks.entries()) if (lock !== null) expect(lock).toBe(before[nth])
    expect(locks.some((lock) => lock !== null)).toBe(true)
    second.mend()

    const dead = await third.chunks()
    third.cutFrom(ports.redis)
    third.cutFrom(ports.posthog)
    await sleep(cutMs)
    expect(third.dropped()).toBeGreaterThan(0)
    // Only the one that was thought dead before has free slots.
    await until('others have its chunks', async () => (await movedOn(dead)) === dead.length)
    expect((await first.chunks()).length).toBeGreaterThan(0)
    third.mend()
    await until('it reports again', async () => (await third.silentMs()) < 3000)

    expect((await status()).state).toBe('running')
    expect((await heapferryHere(['pace', run, 'none'], await commandHere())).code).toBe(0)
    await until('the run is complete', async () => (await status()).state === 'completed', 180_000)
    const { violations, looks } = await watching.end()
    expect(violations).toEqual([])
    expect(looks).toBeGreaterThan((3 * cutMs) / 2000)
    for (const host of hosts) expect(host.worker.child.exitCode).toBeNull()
    const stored = [...posthog.stored].map(
      ([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }] as const,
    )
    expect(new Map(stored)).toEqual((await expected()).events)

    async function locksOf(chunks: readonly string[]): Promise<(string | null)[]> {
      return Promise.all(chunks.map((chunk) => admin.get(keysOf(admin).queueKeys(run, 'events').lock(chunk))))
    }
    /** How many of the chunks another host has in hand, or has ended. */
    async function movedOn(chunks: readonly ChunkId[]): Promise<number> {
      const checkpoints = chunks.length === 0 ? [] : await admin.hmget(keys.checkpoints, ...chunks)
      const others = new Set((await Promise.all(hosts.map((host) => host.chunks()))).flat())
      return chunks.filter((chunk, nth) => checkpoints[nth]?.includes('"done":true') || others.has(chunk)).length
    }
    async function commandHere() {
      return { cwd: await temporaryFolder(), env: { REDIS_URL: `redis://127.0.0.1:${ports.redis}` } }
    }
  },
)

async function scene() {
  const folder = await temporaryFolder()
  const machines = [0, 1, 2, 3].map((nth) => networkHost(nth))
  const here = machines[0]?.gateway ?? ''
  const redis = await startRedis(['--appendonly', 'yes', '--protected-mode', 'no', '--bind', '127.0.0.1', here])
  const posthog = await startFakePostHog({ apiKey, host: here })
  onTestFinished(() => posthog.stop())
  const run = RunId.parse('hosts')
  const source = path.join(folder, 'export')
  await mkdir(source)
  // Each is a chunk, and a worker takes four.
  for (let nth = 0; nth < 12; nth++) {
    const letter = String.fromCodePoint(97 + nth)
    await writeBenchCsv(path.join(source, `clicked_${letter}.csv`), { rows: 6000, seed: nth })
  }
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: `redis://${here}:${redis.port}`,
  }
  const command = { cwd: folder, env }
  const enqueued = heapferry(
    ['enqueue', source, '--run', run, '--pace', '240', ...(await withoutFirstTouch(folder))],
    command,
  )
  const { code, stderr } = await enqueued.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) })

  const keys = keysOf(redis.admin).runKeys(run)
  const startWorker = async (nth: number, byMs: number) => {
    const machine = machines[nth]
    if (!machine) throw new Error('there is no such machine')
    const surroundings = { ...env, ...clockOf(byMs) }
    const told = execFileSync(process.execPath, ['-p', 'Date.now()'], { env: { ...process.env, ...surroundings } })
    expect(Math.abs(Number(told) - Date.now() - byMs)).toBeLessThan(hourMs / 2)
    const worker = heapferry(['worker', '--run', run], { cwd: folder, env: surroundings, within: machine.within })
    const pulse = async () => {
      const said = await redis.admin.hget(keys.pulses, `${hostname()}:${worker.child.pid}`)
      return said === null ? null : Pulse.parse(JSON.parse(said))
    }
    return {
      ...machine,
      worker,
      chunks: async () => (await pulse())?.chunks.map(({ id }) => id) ?? [],
      silentMs: async () => (await redisNowMs(redis.admin, run)) - ((await pulse())?.atMs ?? 0),
    }
  }
  const hosts = [await startWorker(0, hourMs), await startWorker(1, -hourMs), await startWorker(2, 0)] as const
  for (const host of hosts) await until('each host has chunks', async () => (await host.chunks()).length === 4)
  const spare = await startWorker(3, 0)
  await until('the spare host reports', async () => (await spare.silentMs()) < 3000)
  return {
    run,
    keys,
    admin: redis.admin,
    ports: { redis: redis.port, posthog: posthog.port },
    hosts: [...hosts, spare] as const,
    posthog,
    watching: lookAtLedger(run, redis.admin),
    status: async () => JSON.parse((await heapferryHere(['status', run, '--json'], command)).stdout),
    expected: () => convertible(source, { run, home: env.HEAPFERRY_HOME }),
  }
}

/** Once a second, until its end. */
function lookAtLedger(run: RunId, admin: Awaited<ReturnType<typeof startRedis>>['admin']) {
  const over = new AbortController()
  onTestFinished(() => over.abort())
  const watch = watchInvariants(run)
  const violations: string[] = []
  let looks = 0
  const looked = (async () => {
    while (!over.signal.aborted) {
      violations.push(...(await watch.look(admin)))
      looks++
      await sleep(1000, undefined, { signal: over.signal }).catch(() => {})
    }
    violations.push(...(await watch.look(admin)))
  })()
  return {
    async end() {
      over.abort()
      await looked
      return { violations, looks }
    },
  }
}

/** By libfaketime, which shifts what the system tells a process, where that is installed; else in Node.js alone. */
function clockOf(byMs: number): Record<string, string> {
  const library = ['x86_64', 'aarch64']
    .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketime.so.1`)
    .find((file) => existsSync(file))
  if (byMs === 0) return {}
  if (library !== undefined) {
    const seconds = byMs / 1000
    // A clock that is set leaves the one that only goes forward as it is.
    return { LD_PRELOAD: library, FAKETIME: `${seconds < 0 ? '' : '+'}${seconds}s`, FAKETIME_DONT_FAKE_MONOTONIC: '1' }
  }
  const preload = path.resolve(import.meta.dirname, '../support/shifted-clock.mjs')
  return { NODE_OPTIONS: `--import=${preload}`, HEAPFERRY_TEST_CLOCK_MS: String(byMs) }
}
