import { request } from 'node:http'
import { createLogger } from '@heapferry/config'
import { type DashboardOptions, startDashboard } from '@heapferry/dashboard'
import {
  type Chunk,
  emptyTally,
  FileId,
  type Phase,
  phaseOf,
  type Run,
  type RunId,
  type Tally,
  type QueueState,
} from '@heapferry/domain'
import { ChunkConsumer, ChunkQueue, connectRedis, type Redis, type RedisLedger, redisLedger } from '@heapferry/queue'
import { expect, onTestFinished } from 'vitest'
import { chunkOf, fileOf, runOf } from '../support/chunk.ts'
import { heapferry } from '../support/heapferry.ts'
import { until } from '../support/until.ts'

/** A dashboard on a free port of 127.0.0.1, closed after the test. */
export async function open(redis: Redis, changes: Partial<DashboardOptions> = {}): Promise<string> {
  const dashboard = await startDashboard({ ...optionsOf(redis), ...changes })
  onTestFinished(() => dashboard.close())
  return dashboard.url
}

/** `heapferry dashboard` as a process of its own, on a free port unless `env` names one. */
export async function dashboardProcess(folder: string, env: Record<string, string>) {
  const settings = { HEAPFERRY_DASHBOARD_PORT: '0', ...env }
  const { child, stderr } = heapferry(['dashboard'], { cwd: folder, env: settings })
  await until('the dashboard listens', () => /Dashboard: http/.test(stderr()))
  return { child, url: /Dashboard: (\S+)/.exec(stderr())?.[1] ?? '' }
}

export function optionsOf(redis: Redis): DashboardOptions {
  const logger = createLogger({ level: 'silent', role: 'dashboard' })
  const ledger = redisLedger(redis)
  return {
    redis,
    ledger,
    s3: { pathStyle: false, requesterPays: false },
    // No run of these tests has an export, unless it says where.
    store: '/nowhere',
    version: '0.0.0',
    retry: null,
    verify: () => null,
    host: '127.0.0.1',
    port: 0,
    passwords: null,
    trustedProxies: [],
    logger,
  }
}

/** A request with headers that `fetch` keeps for itself, such as Host. */
export async function ask(
  url: string,
  {
    method = 'GET',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; text: string; headers: NodeJS.Dict<string | string[]> }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (part: string) => {
        text += part
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }))
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

export interface SeededRun {
  id: RunId
  ledger: RedisLedger
  /** Plans one more file of a table, with as many chunks as tallies, and commits those that are not null as done. */
  table: (name: string, rows: number, tallies: readonly (Tally | null)[]) => Promise<Chunk[]>
  queue: (phase: Phase) => ChunkQueue
  queueState: (phase: Phase) => Promise<QueueState>
}

/** A run as producer and workers leave it in the ledger. */
export async function seedRun(redis: Redis, name: string, changes: Partial<Run> = {}): Promise<SeededRun> {
  const ledger = redisLedger(redis)
  const { id } = await ledger.createRun(runOf(name, changes), 'ada')
  const queues = new Map<Phase, ChunkQueue>()
  onTestFinished(async () => {
    for (const queue of queues.values()) await queue.close()
  })
  let files = 0
  return {
    id,
    ledger,
    async table(table, rows, tallies) {
      const file = { ...fileOf(table), id: fileIdOf(files++) }
      const phase = phaseOf(file.table.kind)
      const chunks = tallies.map((_, index) => chunkOf(id, file, index))
      await ledger.addFile(id, file)
      await ledger.planChunks(id, chunks)
      await ledger.planFile(id, file, { chunks: chunks.length, rows })
      for (const [index, chunk] of chunks.entries()) {
        const tally = tallies[index] ?? null
        if (tally === null) continue
        await redis.set(`heapferry:${id}-${phase}:${chunk.id}:lock`, 'seed')
        await ledger.commit({ chunk, file, token: 'seed' }, { cursor: 10, tally, done: true }, [], {
          from: 0,
          counts: [],
        })
        await redis.del(`heapferry:${id}-${phase}:${chunk.id}:lock`)
      }
      return chunks
    },
    queueState: (phase) => ledger.queueState(id, phase),
    queue: (phase) => {
      const queue = queues.get(phase) ?? new ChunkQueue(redis, id, phase, () => {})
      queues.set(phase, queue)
      return queue
    },
  }
}

/** Its only chunk has failed for good. */
export async function runWithFailedChunk({ redis, server }: { redis: Redis; server: { url: string } }, name: string) {
  const run = await seedRun(redis, name)
  const [chunk] = await run.table('clicks', 10, [null])
  if (!chunk) throw new Error('no chunk was planned')
  const connection = await connectRedis(server.url, () => {})
  onTestFinished(() => connection.disconnect())
  const consumer = new ChunkConsumer({
    redis: connection,
    run: run.id,
    phase: 'events',
    concurrency: 1,
    process: () => Promise.reject(new Error('never reached')),
    onError: () => {},
  })
  // What is not a chunk fails for good at its first attempt.
  await run.queue('events').queue.add('clicks 1', { not: 'a chunk' }, { jobId: chunk.id })
  await consumer.resume()
  await expect.poll(async () => (await run.queueState('events')).failed, { timeout: 10_000 }).toBe(1)
  await consumer.close()
  return { run, chunk }
}

export function tallyOf(changes: Partial<Tally>): Tally {
  return { ...emptyTally, ...changes }
}

function fileIdOf(index: number) {
  return FileId.parse(index.toString(16).padStart(12, '0'))
}
