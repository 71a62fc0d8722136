import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type Chunk, chunkIdOf, emptyTally, type ExportFile, FileId, type Run } from '@heapferry/domain'
import { planRun, readRunStatus } from '@heapferry/migration'
import {
  ChunkConsumer,
  ChunkQueue,
  connectRedis,
  openPrivateRedis,
  type Redis,
  type RedisLedger,
  redisLedger,
} from '@heapferry/queue'
import { runOf } from '../test/support/chunk.ts'
import { serverCandidates } from '../test/support/server-candidates.ts'
import { openDashboard } from './large-pages.ts'

const tables = 300
const sizes = [
  { files: 300, chunksPerFile: 34 },
  { files: 2000, chunksPerFile: 50 },
  { files: 20_000, chunksPerFile: 50 },
]
const workers = 50
const chunksAtOnce = 4
const chunkBytes = 8 * 1024 * 1024
const chunkRows = 14_000
const tries = 9

/**
 * Runs of ten thousand, a hundred thousand and a million chunks that hold nothing: planned as the producer plans them, done
 * as workers do them, and looked at before and afterwards. Each has a Redis of its own, on this machine.
 */
export async function* benchMillionChunks(): AsyncGenerator<object> {
  for (const size of sizes) yield* ofSize(size)
}

type Size = (typeof sizes)[number]

async function* ofSize({ files, chunksPerFile }: Size): AsyncGenerator<object> {
  const home = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  const server = await openPrivateRedis({ home, serverCandidates })
  const redis = await connectRedis(server.url, () => {})
  const ledger = redisLedger(redis)
  const queues = { identities: queueOf('identities'), events: queueOf('events') }
  function queueOf(phase: 'identities' | 'events'): ChunkQueue {
    return new ChunkQueue(redis, runOf('million').id, phase, () => {})
  }
  const dashboard = await openDashboard(redis, ledger)
  try {
    const run = await ledger.createRun(runOf('million', { chunkBytes }), 'bench')
    const all = Array.from({ length: files }, (_, index) => fileOf(index))
    const chunks = files * chunksPerFile
    const plan = () =>
      planRun(run, all, {
        ledger,
        schedule: {
          add: (phase, some) => queues[phase].add(some),
          known: (phase, ids) => queues[phase].known(ids),
        },
        source: { cut: () => cuts(chunksPerFile) },
        signal: new AbortController().signal,
      })
    const usedBytes = async () => Number(await told(redis, 'memory', 'used_memory'))
    const emptyBytes = await usedBytes()
    const perChunk = async () => Math.round(((await usedBytes()) - emptyBytes) / chunks)

    const enqueued = await measured(redis, chunks, plan)
    yield { chunks, moment: 'enqueued', ...enqueued, 'bytes/chunk': await perChunk() }
    yield* looks('waiting')
    yield { chunks, moment: 'planned again', ...(await measured(redis, chunks, plan)) }
    const finished = await measured(redis, chunks, () => workOff(server.url, run, { chunks, files: all }))
    yield { chunks, moment: 'finished', ...finished, 'bytes/chunk': await perChunk() }
    yield* looks('done')
    yield { chunks, moment: 'planned again, all done', ...(await measured(redis, chunks, plan)) }

    async function* looks(moment: string): AsyncGenerator<object> {
      for (const [view, look] of Object.entries(viewsOf(run, ledger, dashboard.url))) {
        await sayAlive(ledger, run, all)
        await look()
        const times: number[] = []
        const before = await answered(redis)
        for (let round = 0; round < tries; round++) {
          const startedMs = performance.now()
          await look()
          times.push(performance.now() - startedMs)
        }
        const after = await answered(redis)
        const median = times.toSorted((a, b) => a - b)[Math.floor(tries / 2)] ?? 0
        yield {
          chunks,
          moment,
          view,
          'median ms': Math.round(median * 10) / 10,
          'Redis commands': Math.round((after.commands - before.commands) / tries),
          'KB from Redis': Math.round((after.bytes - before.bytes) / tries / 1000),
        }
      }
    }
  } finally {
    await dashboard.close()
    await Promise.all([queues.identities.close(), queues.events.close()])
    redis.disconnect()
    await server.close()
    await rm(home, { recursive: true })
  }
}

/** What people and machines look at. */
function viewsOf({ id }: Run, ledger: RedisLedger, url: string): Record<string, () => Promise<unknown>> {
  const page = (address: string) => async () => {
    const answer = await fetch(url + address)
    if (!answer.ok) throw new Error(`${address} answered ${answer.status}`)
    return answer.text()
  }
  return {
    status: () => Promise.all([readRunStatus(id, ledger), ledger.timeline(id), ledger.verifications(id)]),
    runs: page('/'),
    run: page(`/runs/${id}`),
    files: page(`/runs/${id}/files`),
    machines: page('/machines'),
    metrics: page('/metrics'),
    'Bull Board': page(`/queues/api/queues?activeQueue=${id}-events&status=latest&page=1&jobsPerPage=10`),
  }
}

/** As many workers as a large company has, all in this process: what they ask of Redis is what is measured. */
async function workOff(
  url: string,
  run: Run,
  { chunks, files }: { chunks: number; files: readonly ExportFile[] },
): Promise<void> {
  const byId = new Map(files.map((file) => [file.id, file]))
  let left = chunks
  await new Promise<void>((resolve, reject) => {
    for (let nth = 0; nth < workers; nth++) void work().catch(reject)

    async function work(): Promise<void> {
      const redis = await connectRedis(url, () => {})
      const ledger = redisLedger(redis)
      const consumer = new ChunkConsumer({
        redis,
        run: run.id,
        phase: 'events',
        concurrency: chunksAtOnce,
        process: async ({ chunk, token }) => {
          const file = byId.get(chunk.file)
          if (!file) throw new Error(`nobody has planned ${chunk.file}`)
          await finish(ledger, run, { chunk, file, token })
          left--
          return { kind: 'finished' }
        },
        onError: reject,
      })
      await consumer.resume()
      while (left > 0) await new Promise((again) => setTimeout(again, 200))
      await consumer.close()
      redis.disconnect()
      if (--open === 0) resolve()
    }
    let open = workers
  })
}

/** What a worker asks of the ledger for a chunk of one slice. */
async function finish(
  ledger: RedisLedger,
  run: Run,
  claim: { chunk: Chunk; file: ExportFile; token: string },
): Promise<void> {
  const { chunk, file } = claim
  await ledger.run(run.id)
  await ledger.checkpoint(chunk)
  await ledger.isPlanned(chunk)
  await ledger.checkpoint(chunk)
  const { rows } = chunk
  const tally = { ...emptyTally, read: rows, sent: rows - 20, skipped: { held_back: 20 } }
  const counts = [{ event: file.table.name, day: chunk.day ?? 0, count: rows - 20 }]
  await ledger.commit(claim, { cursor: chunkBytes, tally, done: false }, [], { from: 0, counts })
  await ledger.commit(claim, { cursor: chunkBytes, tally, done: true }, [], { from: chunkBytes, counts: [] })
}

async function* cuts(count: number) {
  for (let index = 0; index < count; index++) {
    const start = index * chunkBytes
    const range = { kind: 'bytes', start, end: start + chunkBytes } as const
    yield { range, firstRow: index * chunkRows + 1, rows: chunkRows, first: null }
  }
}

async function sayAlive(ledger: RedisLedger, { id }: Run, files: readonly ExportFile[]): Promise<void> {
  for (let nth = 0; nth < workers; nth++) {
    const nowMs = Math.round(performance.now())
    const pulse = { atMs: nowMs, startedAtMs: nowMs, movedAtMs: nowMs, memoryBytes: 3e8, rate: 100, awaits: null }
    const chunks = files.slice(0, chunksAtOnce).map((file) => {
      return { id: chunkIdOf(file.id, 0), table: file.table.name, firstRow: 1, rows: chunkRows, read: 5 }
    })
    await ledger.setPulse(id, { ...pulse, worker: `host-${nth % 10}:${nth}`, chunks })
  }
}

async function measured(redis: Redis, chunks: number, work: () => Promise<void>): Promise<Record<string, number>> {
  const cpuBefore = await cpuSeconds(redis)
  const ownBefore = process.cpuUsage()
  const startedMs = performance.now()
  await work()
  const seconds = (performance.now() - startedMs) / 1000
  const { user, system } = process.cpuUsage(ownBefore)
  return {
    'chunks/s': Math.round(chunks / seconds),
    'Redis CPU µs/chunk': Math.round((1e6 * ((await cpuSeconds(redis)) - cpuBefore)) / chunks),
    'own CPU µs/chunk': Math.round((user + system) / chunks),
  }
}

/** Of its one thread that answers: what it forks to rewrite its file counts nothing. */
async function cpuSeconds(redis: Redis): Promise<number> {
  const main = await Promise.all(['user', 'sys'].map((kind) => told(redis, 'cpu', `used_cpu_${kind}_main_thread`)))
  return main.reduce((sum, seconds) => sum + Number(seconds), 0)
}

async function answered(redis: Redis): Promise<{ commands: number; bytes: number }> {
  const commands = Number(await told(redis, 'stats', 'total_commands_processed'))
  return { commands, bytes: Number(await told(redis, 'stats', 'total_net_output_bytes')) }
}

async function told(redis: Redis, section: string, name: string): Promise<string> {
  const value = new RegExp(`^${name}:(\\S+)`, 'm').exec(await redis.info(section))?.[1]
  if (value === undefined) throw new Error(`Redis does not tell ${name}`)
  return value
}

function fileOf(index: number): ExportFile {
  const name = `checkout_step_${index % tables}`
  return {
    id: FileId.parse(index.toString(16).padStart(12, '0')),
    path: `heap_main_production/${name}/part-${String(index).padStart(5, '0')}.csv`,
    table: { kind: 'event', name },
    format: { kind: 'csv', delimiter: ',', quote: '"' },
    compression: 'none',
    columns: ['event_id', 'user_id', 'session_id', 'time', 'path', 'query', 'title', 'referrer', 'browser', 'platform'],
    firstRowByte: 0,
    version: { sizeBytes: 50 * chunkBytes, mark: 'modified 1970-01-01T00:00:00.000Z' },
  }
}
