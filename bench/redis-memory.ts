import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Chunk, chunkIdOf, type ExportFile, FileId, RunId } from '@heapferry/domain'
import { ChunkQueue, connectRedis, openPrivateRedis, redisLedger } from '@heapferry/queue'
import { serverCandidates } from '../test/support/server-candidates.ts'

const chunks = 20_000

const run = RunId.parse('redis-memory')
const file: ExportFile = {
  id: FileId.parse('0123456789ab'),
  path: 'heap_main_production/pageviews-000000000123.csv',
  table: { kind: 'pageviews', name: 'pageviews' },
  format: { kind: 'csv', delimiter: ',', quote: '"' },
  compression: 'none',
  columns: ['event_id', 'user_id', 'time'],
  firstRowByte: 0,
  version: { sizeBytes: 1, mark: 'modified 1970-01-01T00:00:00.000Z' },
}

/** What a chunk takes in Redis while it waits (its job), and when it is done (its checkpoint; the job still there). */
export async function benchRedisMemory(): Promise<object[]> {
  const home = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  const server = await openPrivateRedis({ home, serverCandidates })
  const redis = await connectRedis(server.url, () => {})
  const queue = new ChunkQueue(redis, run, 'events', () => {})
  const ledger = redisLedger(redis)
  try {
    await queue.add([jobOf(0)])
    const emptyBytes = await usedBytes()
    for (let from = 1; from < chunks; from += 500) {
      await queue.add(Array.from({ length: Math.min(500, chunks - from) }, (_, index) => jobOf(from + index)))
    }
    const waitingBytes = await usedBytes()
    for (let index = 0; index < chunks; index++) {
      const { chunk } = jobOf(index)
      await redis.set(`heapferry:${run}-events:${chunk.id}:lock`, 'bench', 'PX', 1000)
      const ended = { read: 14_123, sent: 14_100, skipped: { held_back: 20 }, rejected: { damaged_id: 3 } } as const
      const tally = { ...ended, warned: {} }
      await ledger.commit({ chunk, file, token: 'bench' }, { cursor: 8_388_777, tally, done: true }, [], {
        from: 0,
        counts: [],
      })
      await redis.del(`heapferry:${run}-events:${chunk.id}:lock`)
    }
    const doneBytes = await usedBytes()
    await countThreeYears()
    const countedBytes = await usedBytes()
    await drawHistory()
    const drawnBytes = await usedBytes()
    return [
      {
        chunks,
        'bytes/chunk waiting': Math.round((waitingBytes - emptyBytes) / chunks),
        'bytes/chunk done, job kept': Math.round((doneBytes - emptyBytes) / chunks),
      },
      { 'bytes for counts by day of 100 events in three years': countedBytes - doneBytes },
      { 'bytes for the history of a billion rows in days': drawnBytes - countedBytes },
    ]
  } finally {
    await queue.close()
    redis.disconnect()
    await server.close()
    await rm(home, { recursive: true })
  }

  /** As workers do that have sent about 20,000 events of each name and day: two billion in all. */
  async function countThreeYears(): Promise<void> {
    const { chunk } = jobOf(chunks)
    await redis.set(`heapferry:${run}-events:${chunk.id}:lock`, 'bench', 'PX', 60_000)
    for (let event = 0; event < 100; event++) {
      const counts = Array.from({ length: 1096 }, (_, day) => {
        return {
          event: `event_table_number_${event}`,
          day: 18_000 + day,
          count: 20_000 + ((event * 7919 + day * 104_729) % 9999),
        }
      })
      const tally = { read: event + 1, sent: 0, skipped: {}, rejected: {}, warned: {} }
      const sent = { from: event, counts }
      await ledger.commit({ chunk, file, token: 'bench' }, { cursor: event + 1, tally, done: false }, [], sent)
    }
  }

  /** As many points as the ledger keeps at most; how it thins them out is tested. */
  async function drawHistory(): Promise<void> {
    const points = Array.from({ length: 1440 }, (_, point) => {
      const rows = 999_000_000 + point
      return [1_790_000_000_000 + point * 128_000, rows, rows - 1_000_000, 1_000_000].join(':')
    })
    await redis.rpush(`heapferry-ledger:run:${run}:history`, ...points)
  }

  async function usedBytes(): Promise<number> {
    return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  }
}

function jobOf(index: number): { chunk: Chunk; title: string } {
  const start = index * 8_388_608
  const range = { kind: 'bytes', start, end: start + 8_388_608 } as const
  const chunk = {
    id: chunkIdOf(file.id, index),
    run,
    file: file.id,
    range,
    firstRow: index * 14_000 + 1,
    rows: 14_000,
    day: 19_500,
  }
  return { chunk, title: `pageviews · ${file.path} · rows ${chunk.firstRow}–${chunk.firstRow + 13_999}` }
}
