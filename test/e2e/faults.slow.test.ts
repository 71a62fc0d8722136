import path from 'node:path'
import { countOf, phases, type RunId } from '@heapferry/domain'
import type { FakePostHog } from '@heapferry/fake-posthog'
import { isAbout } from '@heapferry/fake-posthog'
import { ChunkQueue, connectRedis } from '@heapferry/queue'
import { writeSampleExport } from '@heapferry/sample-export'
import { expect, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { crew } from '../support/crew.ts'
import { until } from '../support/until.ts'

const workers = 2
const chunksInFlightPerWorker = 4

test.each([0, 50, 200])('with answers after %i ms every event arrives', async (ms) => {
  const { posthog, holdsEverything } = await migrating({ rows: 20_000 }, (server) =>
    server.fault({ kind: 'latency', ms }),
  )
  await holdsEverything()
  expect(posthog.batches.every(({ sentAt, historicalMigration }) => sentAt === null && historicalMigration)).toBe(true)
})

test('answers that are lost after storing are asked for again, and PostHog keeps one of each event', async () => {
  const { posthog, holdsEverything } = await migrating({ rows: 20_000 }, (server) =>
    server.fault({ kind: 'answer_lost', probability: 0.3, seed: 3 }),
  )
  expect(posthog.requests.answer_lost).toBeGreaterThan(2)
  await holdsEverything()
})

test('an hour of 500s, resets and timeouts, scaled down to bursts, loses nothing and needs nobody', async () => {
  const { posthog, holdsEverything } = await migrating({ rows: 20_000 }, (server) => {
    server.fault({ kind: 'status', status: 500, probability: 0.3, seed: 1 })
    server.fault({ kind: 'status', status: 503, probability: 0.2, seed: 2 })
    server.fault({ kind: 'reset', probability: 0.2, seed: 3 })
  })
  expect(
    Math.min(posthog.requests['500'] ?? 0, posthog.requests['503'] ?? 0, posthog.requests.reset ?? 0),
  ).toBeGreaterThan(0)
  await holdsEverything()
})

test('a minute of nothing but 429 with Retry-After loses nothing, spends no attempt, and all workers ask once each time', async () => {
  const retryAfterS = 5
  const forMs = 60_000
  const { posthog, run, redisServer, holdsEverything } = await migrating({ rows: 20_000 }, (server) =>
    server.fault({ kind: 'status', status: 429, retryAfterS, forMs }),
  )
  await holdsEverything()
  const refused = posthog.batches.filter(({ outcome }) => outcome === 429).map(({ receivedAtMs }) => receivedAtMs)
  const [firstMs = 0] = refused
  // What was on its way when the first answer came; after that one request a time, however many workers wait.
  const [onTheirWay, later] = [
    refused.filter((atMs) => atMs - firstMs < 1000 * retryAfterS - 1),
    refused.filter((atMs) => atMs - firstMs >= 1000 * retryAfterS - 1),
  ]
  expect(onTheirWay.length).toBeLessThanOrEqual(workers * chunksInFlightPerWorker)
  expect(later.length).toBeGreaterThan(3)
  expect(later.length).toBeLessThanOrEqual(forMs / 1000 / retryAfterS)
  for (const [index, atMs] of later.slice(1).entries()) {
    expect(atMs - (later[index] ?? 0)).toBeGreaterThanOrEqual(1000 * retryAfterS - 1)
  }
  expect(await attemptsOf(run, redisServer.url)).toEqual([1])
})

test.each(['batch', 'v1'] as const)(
  'by %s, one event in 1,000 that PostHog refuses is rejected with the reason, and its batch is stored without it',
  async (transport) => {
    const poison = { everyNth: 1000 }
    const { posthog, ledger, run, holdsEverything } = await migrating({ rows: 20_000, transport }, (server) =>
      server.fault({ kind: 'refuse_event', ...poison }),
    )
    await holdsEverything((uuid) => isAbout(poison, { event: '', uuid }))
    const refused = []
    for await (const row of ledger.rejectedRows(run)) if (row.reason === 'refused_by_posthog') refused.push(row)
    expect(refused.length).toBeGreaterThan(10)
    for (const { detail, row, byte } of refused)
      expect([detail, row > 0, byte > 0]).toEqual([expect.stringMatching(/\w/), true, true])
    if (transport === 'batch') expect(posthog.requests['400']).toBeGreaterThan(10)
    else expect(posthog.requests).not.toHaveProperty('400')
  },
)

test('where v1 goes away in the middle, the rest arrives by batch', async () => {
  const { posthog, ledger, run, holdsEverything } = await migrating({ rows: 20_000, transport: 'auto' }, (server) => {
    server.fault({ kind: 'latency', ms: 100 })
    void until('some events came by v1', () => server.stored.size > 3000).then(() =>
      server.fault({ kind: 'v1_missing' }),
    )
  })
  await holdsEverything()
  expect(new Set(posthog.batches.map(({ endpoint }) => endpoint))).toEqual(new Set(['v1', 'batch']))
  expect(posthog.requests['404']).toBeGreaterThan(0)
  expect((await ledger.progress(run)).transport).toBe('batch')
})

async function migrating(
  // Not auto: its first question would meet the fault, and not every fault lets it find v1.
  { rows, transport = 'v1' }: { rows: number; transport?: 'auto' | 'batch' | 'v1' },
  hurt: (server: FakePostHog) => void,
) {
  const { folder, home, run, posthog, ledger, redisServer, start, isComplete, stop } = await crew({
    HEAPFERRY_TRANSPORT: transport,
  })
  const source = path.join(folder, 'export')
  const share = Math.floor(rows / 2)
  await writeSampleExport({ folder: source, seed: 5, people: 1000, pageviewRows: share, eventRows: share, traps: true })
  hurt(posthog)
  start(source, workers)
  await until('the run is complete', isComplete, 180_000)
  await stop()

  const { tables } = await ledger.progress(run)
  for (const { table, tally, planned } of tables) {
    expect([table, tally.sent + countOf(tally.skipped) + countOf(tally.rejected), planned]).toEqual([
      table,
      tally.read,
      tally.read,
    ])
  }
  return {
    posthog,
    ledger,
    redisServer,
    run,
    /** Exactly what can be converted, but for what PostHog was told to refuse. */
    async holdsEverything(refused: (uuid: string) => boolean = () => false) {
      const expected = await convertible(source, { run, home })
      const events = [...expected.events].filter(([uuid]) => !refused(uuid))
      const stored = [...posthog.stored].map(
        ([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }] as const,
      )
      expect(new Map(stored)).toEqual(new Map(events))
    },
  }
}

/** The different numbers of attempts that the chunks of a run took. */
async function attemptsOf(run: RunId, url: string): Promise<number[]> {
  const redis = await connectRedis(url, () => {})
  const queues = phases.map((phase) => new ChunkQueue(redis, run, phase, () => {}))
  const jobs = (await Promise.all(queues.map(({ queue }) => queue.getCompleted()))).flat()
  for (const queue of queues) await queue.close()
  redis.disconnect()
  expect(jobs.length).toBeGreaterThan(0)
  return [...new Set(jobs.map(({ attemptsMade }) => attemptsMade))]
}
