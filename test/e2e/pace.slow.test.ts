import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ChunkQueue, connectRedis } from '@heapferry/queue'
import { writeBenchCsv } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { crew } from '../support/crew.ts'
import { latenessFromNow, tooLateMs, usedShare, worstSecond } from '../support/throughput.ts'
import { until } from '../support/until.ts'
import { withoutFirstTouch } from '../support/without-first-touch.ts'

test.for([
  { workers: 8, latencyMs: 0, files: 32, fast: 2000, slow: 500 },
  { workers: 2, latencyMs: 1000, files: 10, fast: 2000, slow: 1000 },
])(
  'as PostHog sees it, with $latencyMs ms until it answers, $workers workers keep to the pace within 5 % in every second, use 95 % of it, and change it within 2 s, to use it when as many are on their way as there are to be',
  async ({ workers, latencyMs, files, fast, slow }, context) => {
    const { folder, run, posthog, redisServer, ledger, start, isComplete } = await crew()
    const source = path.join(folder, 'export')
    await mkdir(source)
    // Each file is a chunk: enough of them that every worker has some. At its end the last answers are awaited.
    const sizes = Array.from({ length: files }, (_, file) => Math.round((20_000 + (file % 4) * 10_000) / files))
    for (const [file, rows] of sizes.entries())
      await writeBenchCsv(path.join(source, `pageviews-${file + 1e11}.csv`), { rows, seed: file })
    const flags = await withoutFirstTouch(folder)
    posthog.fault({ kind: 'latency', ms: latencyMs })
    start(source, 0, [...flags, '--pace', String(fast)])
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
    await ledger.setIntent(run, { kind: 'run', by: 'test', acceptedTables: [] })
    await until('PostHog is sent events', () => posthog.batches.length > 0)
    // Until all code has run once, and as many are on their way as there are to be.
    await sleep(1000 + latencyMs)

    const lateness = latenessFromNow()
    const fastFromMs = Date.now()
    await sleep(8000)
    const slowFromMs = Date.now()
    await ledger.setPace(run, slow, 'test')
    await sleep(8000)
    const slowToMs = Date.now()
    const lateMs = lateness()
    await ledger.setPace(run, null, 'test')
    await until('the run is complete', isComplete, 120_000)
    expect(posthog.stored.size).toBe(sizes.reduce((sum, rows) => sum + rows, 0))
    expect(Object.keys(posthog.requests)).toEqual(['200'])

    context.skip(lateMs > tooLateMs, `this machine is too busy to measure: the receiver was late by ${lateMs} ms`)
    const arrivals = posthog.batches.map(({ receivedAtMs, events }) => ({ atMs: receivedAtMs, events }))
    const atFast = arrivals.filter(({ atMs }) => atMs >= fastFromMs && atMs < slowFromMs)
    const atSlow = arrivals.filter(({ atMs }) => atMs >= slowFromMs + 2000 && atMs < slowToMs)
    expect(worstSecond(atFast)).toBeLessThanOrEqual(fast * 1.05)
    expect(usedShare(atFast, fast)).toBeGreaterThanOrEqual(0.95)
    expect(worstSecond(atSlow)).toBeLessThanOrEqual(slow * 1.05)
    const settled = atSlow.filter(({ atMs }) => atMs >= slowFromMs + 2000 + latencyMs)
    expect(usedShare(settled, slow)).toBeGreaterThanOrEqual(0.95)
  },
)
