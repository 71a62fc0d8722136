import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createLogger } from '@heapferry/config'
import { startDashboard } from '@heapferry/dashboard'
import { chunkIdOf, emptyTally, type ExportFile, FileId } from '@heapferry/domain'
import { connectRedis, openPrivateRedis, type Redis, type RedisLedger, redisLedger } from '@heapferry/queue'
import { runOf } from '../test/support/chunk.ts'
import { serverCandidates } from '../test/support/server-candidates.ts'

const tables = 500
const files = 20_000
const workers = 200
const tries = 9

/** How long the pages of a large run take, made for somebody who opens them: the median of a few, and the mean of this process' CPU. */
export async function benchLargePages(): Promise<object[]> {
  const home = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  const server = await openPrivateRedis({ home, serverCandidates })
  const redis = await connectRedis(server.url, () => {})
  const ledger = redisLedger(redis)
  const { id } = await ledger.createRun(runOf('large'), 'bench')
  for (let index = 0; index < files; index++) {
    const file = fileOf(index)
    await ledger.addFile(id, file)
    await ledger.planFile(id, file, { chunks: 1, rows: 10 })
    if (index % 3 > 0) continue
    const range = { kind: 'bytes' as const, start: 0, end: 1 }
    const chunk = { id: chunkIdOf(file.id, 0), run: id, file: file.id, range, firstRow: 1, rows: 10, day: null }
    await ledger.planChunks(id, [chunk])
    await redis.set(`heapferry:${id}-events:${chunk.id}:lock`, 'bench', 'PX', 1000)
    const tally = { ...emptyTally, read: 10, sent: 10 }
    const counts = { from: 0, counts: [] }
    await ledger.commit({ chunk, file, token: 'bench' }, { cursor: 1, tally, done: true }, [], counts)
  }
  for (let index = 0; index < workers; index++) {
    const nowMs = Math.round(performance.now())
    const chunks = [{ id: chunkIdOf(fileOf(index).id, 0), table: `event_${index}`, firstRow: 1, rows: 10, read: 5 }]
    const pulse = { atMs: nowMs, startedAtMs: nowMs, movedAtMs: nowMs, memoryBytes: 1e8, rate: 1000, awaits: null }
    await ledger.setPulse(id, { ...pulse, worker: `host-${index % 20}:${index}`, chunks })
  }
  const dashboard = await openDashboard(redis, ledger)
  try {
    const results: object[] = []
    for (const page of ['/', `/runs/${id}`, `/runs/${id}/files`, `/runs/${id}/files?state=open&page=7`, '/machines']) {
      const times: number[] = []
      const cpuBefore = process.cpuUsage()
      let bytes = 0
      for (let round = 0; round < tries; round++) {
        const startedMs = performance.now()
        const answer = await fetch(dashboard.url + page)
        if (!answer.ok) throw new Error(`${page} answered ${answer.status}`)
        bytes = (await answer.text()).length
        times.push(performance.now() - startedMs)
      }
      const median = times.toSorted((a, b) => a - b)[Math.floor(tries / 2)] ?? 0
      const { user, system } = process.cpuUsage(cpuBefore)
      const cpuMs = Math.round((user + system) / 1000 / tries)
      results.push({ page, tables, files, workers, 'median ms': Math.round(median), 'CPU ms': cpuMs, bytes })
    }
    return results
  } finally {
    await dashboard.close()
    redis.disconnect()
    await server.close()
    await rm(home, { recursive: true })
  }
}

/** For whoever is on this machine, without a run's export. */
export function openDashboard(redis: Redis, ledger: RedisLedger) {
  return startDashboard({
    redis,
    ledger,
    s3: { pathStyle: false, requesterPays: false },
    store: '/nowhere',
    version: '0.0.0',
    retry: null,
    verify: () => null,
    host: '127.0.0.1',
    port: 0,
    passwords: null,
    trustedProxies: [],
    logger: createLogger({ level: 'warn', role: 'dashboard' }),
  })
}

function fileOf(index: number): ExportFile {
  const name = `event_${index % tables}`
  return {
    id: FileId.parse(index.toString(16).padStart(12, '0')),
    path: `${name}/part-${String(index).padStart(5, '0')}.csv`,
    table: { kind: 'event', name },
    format: { kind: 'csv', delimiter: ',', quote: '"' },
    compression: 'none',
    columns: ['event_id', 'user_id', 'time'],
    firstRowByte: 0,
    version: { sizeBytes: 1, mark: 'modified 1970-01-01T00:00:00.000Z' },
  }
}
