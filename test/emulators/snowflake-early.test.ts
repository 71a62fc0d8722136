import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { emptySchema, numbers, source, unloadByHand } from './heap-in-fakesnow.ts'
import { startSnowflake } from './start-snowflake.ts'

const server = redisForTests()
const apiKey = 'phc_early000000000000000000000000000000000000000'
let warehouse: Awaited<ReturnType<typeof startSnowflake>>

beforeAll(async () => {
  warehouse = await startSnowflake()
})
afterAll(() => warehouse.close())

test('events of a Snowflake are at PostHog while its largest table is unloaded, with what their sessions tell; killed meanwhile the producer goes on, and the events are those of CSV', async () => {
  const { snowflake } = warehouse
  await snowflake.state({ partition_rows: 1000 })
  await emptySchema(snowflake)
  const ids = `n as event_id, 1 + n % 50 as user_id, 9000000000000000 + n % 900 as session_id`
  await snowflake.run(
    `create table users as select n as user_id, 'person-' || n as identity from ${numbers(50)}`,
    `create table sessions as select 9000000000000000 + n as session_id, 1 + n % 50 as user_id, dateadd(minute, n, '2023-01-01'::timestamp_ntz) as time, 'https://from.example/' || n as referrer from ${numbers(899)}`,
    `create table likes as select ${ids}, dateadd(minute, n % 900, '2023-01-01 00:00:30'::timestamp_ntz) as time from ${numbers(500)}`,
    `create table taps as select ${ids}, dateadd(minute, n % 900, '2023-01-01 00:00:40'::timestamp_ntz) as time from ${numbers(5500)}`,
  )
  const folder = await temporaryFolder()
  const proxy = await startFaultProxy(warehouse.endpoint)
  onTestFinished(() => proxy.close())

  async function scene(home: string) {
    const posthog = await startFakePostHog({ apiKey, keep: 'events' })
    onTestFinished(() => posthog.stop())
    const env = {
      HEAPFERRY_HOME: path.join(folder, home),
      REDIS_URL: server.server.url,
      POSTHOG_HOST: posthog.url,
      POSTHOG_API_KEY: apiKey,
      ...warehouse.settings(proxy.endpoint),
    }
    const stored = () =>
      [...posthog.stored]
        .map(([uuid, { event, distinct_id, timestamp, properties }]) =>
          JSON.stringify([uuid, event, distinct_id, timestamp, properties]),
        )
        .toSorted()
    return {
      countOf: (name: string) => [...posthog.stored.values()].filter(({ event }) => event === name).length,
      stored,
      command: (args: readonly string[]) => heapferry(args, { env, cwd: folder }),
      statusOf: async () => JSON.parse((await heapferryHere(['status', 'r', '--json'], { env, cwd: folder })).stdout),
    }
  }

  const ours = await scene('ours')
  // No other table has so many partitions.
  proxy.faults.push({ on: /\?partition=3/, kind: 'silence' })
  const worker = ours.command(['worker'])
  const producer = ours.command(['enqueue', source, '--run', 'r'])
  await until('events are at PostHog', () => ours.countOf('likes') === 500)
  await until('a part of the largest table is waited for', () => proxy.faults.length === 0)
  expect(ours.countOf('taps')).toBe(0)
  await until('status says so', async () => (await ours.statusOf()).unloading?.table === 'taps')
  producer.child.kill('SIGKILL')
  expect((await producer.ended).signal).toBe('SIGKILL')
  const before = await readFile(path.join(folder, 'ours/runs/r/stage/stage.json'), 'utf8')

  const again = await ours.command(['enqueue', source, '--run', 'r']).ended
  expect([again.code, again.stderr]).toEqual([0, expect.any(String)])
  await until('all is sent', async () => (await ours.statusOf()).state === 'completed')
  const after = await readFile(path.join(folder, 'ours/runs/r/stage/stage.json'), 'utf8')
  expect(partsOf(before).length).toBeGreaterThan(5)
  expect(partsOf(after)).toEqual(expect.arrayContaining(partsOf(before)))
  worker.child.kill('SIGTERM')
  await worker.ended

  const mine = ours.stored()
  expect(
    mine.filter((event) => event.includes('"taps"') && event.includes('"$referrer":"https://from')).length,
  ).toBeGreaterThan(5400)
  await unloadByHand(snowflake, path.join(folder, 'csv'), ['users', 'sessions', 'likes', 'taps'])
  await server.redis.flushall()
  const hand = await scene('hand')
  const byHand = await hand.command(['run', path.join(folder, 'csv'), '--run', 'r', '--workers', '1', '--no-dashboard'])
    .ended
  expect([byHand.code, byHand.stderr]).toEqual([0, expect.any(String)])
  expect(mine.length).toBeGreaterThan(6000)
  expect(mine).toEqual(hand.stored())
}, 600_000)

/** Files of sealed partitions. */
function partsOf(stage: string): (string | undefined)[] {
  return [...stage.matchAll(/"path":"([^"]+)"/g)].map(([, file]) => file)
}
