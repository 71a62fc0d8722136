import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ChunkQueue, connectRedis } from '@heapferry/queue'
import { writeBenchCsv } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { crew } from '../support/crew.ts'
import { type Arrival, latenessFromNow, tooLateMs, usedShare, worstSecond } from '../support/throughput.ts'
import { until } from '../support/until.ts'
import { withoutFirstTouch } from '../support/without-first-touch.ts'

const workers = 8

test('as PostHog sees it, eight workers keep to the pace within 5 % in every second, use 95 % of it, and change it within 2 s', async (context) => {
  const { folder, run, posthog, redisServer, ledger, start, isComplete } = await crew()
  const source = path.join(folder, 'export')
  await mkdir(source)
  // Each file is a chunk: enough of them that every worker has some.
  const files = Array.from({ length: 64 }, (_, file) => path.join(source, `pageviews-${file + 1e11}.csv`))
  for (const [seed, file] of files.entries()) await writeBenchCsv(file, { rows: 500, seed })
  const flags = await withoutFirstTouch(folder)
  start(source, 0, [...flags, '--pace', '2000'])
  await until('everything is planned', async () => (await ledger.progress(run)).phases.every(({ sealed }) => sealed))

  await ledger.setIntent(run, { kind: 'pause', by: 'test', reason: 'until every worker is there', hint: '' })
  start(source, workers, flags)
  const redis = await connectRedis(redisServer.url, () => {})
  const queue = new ChunkQueue(redis, run, 'events', () => {})
  onTestFinished(async () => {
    await queue.close()
    redis.disconnect()
  })
  await until('every worker is there', async () => (await queue.queue.getWorkersCount()) === workers, 120_000)
  const lateness = latenessFromNow()
  await ledger.setIntent(run, { kind: 'run', by: 'test', acceptedTables: [] })
  await until('PostHog is sent events', () => posthog.batches.length > 0)

  await sleep(9000)
  const slowFromMs = Date.now()
  await ledger.setPace(run, 500, 'test')
  await sleep(8000)
  const slowToMs = Date.now()
  const lateMs = lateness()
  await ledger.setPace(run, null, 'test')
  await until('the run is complete', isComplete, 120_000)
  expect(posthog.stored.size).toBe(files.length * 500)
  expect(Object.keys(posthog.requests)).toEqual(['200'])

  context.skip(lateMs > tooLateMs, `this machine is too busy to measure: the receiver was late by ${lateMs} ms`)
  const arrivals = posthog.batches.map(({ receivedAtMs, events }) => ({ atMs: receivedAtMs, events }))
  const fast = arrivals.filter(({ atMs }) => atMs < slowFromMs)
  const slow = arrivals.filter(({ atMs }) => atMs >= slowFromMs + 2000 && atMs < slowToMs)
  expect(usualWorstSecond(fast)).toBeLessThanOrEqual(2000 * 1.05)
  expect(usedShare(fast, 2000)).toBeGreaterThanOrEqual(0.95)
  expect(usualWorstSecond(slow)).toBeLessThanOrEqual(500 * 1.05)
  expect(usedShare(slow, 500)).toBeGreaterThanOrEqual(0.95)
})

/**
 * The middle one of the worst seconds of three parts. A machine that stops a worker for 80 ms brings its batches late, and
 * so too close to the next: that happens now and then. Senders that do not keep the pace are too fast in every part.
 */
function usualWorstSecond(arrivals: readonly Arrival[]): number {
  const third = Math.ceil(arrivals.length / 3)
  const parts = [0, 1, 2].map((part) => worstSecond(arrivals.slice(part * third, (part + 1) * third)))
  return parts.toSorted((a, b) => a - b)[1] ?? 0
}
