import { type Chunk, type ExportFile, FileId, RunId } from '@heapferry/domain'
import { ChunkQueue, type Redis, redisLedger } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { chunkOf, fileOf, runOf } from '../support/chunk.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { ask, open, tallyOf } from './support.ts'

const server = redisForTests()
const id = RunId.parse('many')

test('whoever looks at a run of 2,000 chunks asks Redis for no more than with 100, whether they wait or are done', async () => {
  const cwd = await temporaryFolder()
  const url = await open(server.redis)
  const env = { REDIS_URL: server.server.url, HEAPFERRY_HOME: cwd }
  const page = (address: string) => async () => {
    expect(await ask(url + address)).toMatchObject({ status: 200 })
  }
  const views = {
    'heapferry status': async () => {
      expect(await heapferryHere(['status', id], { cwd, env })).toMatchObject({ code: 0 })
    },
    'heapferry runs': async () => {
      expect(await heapferryHere(['runs'], { cwd, env })).toMatchObject({ code: 0 })
    },
    runs: page('/'),
    run: page(`/runs/${id}`),
    'run as JSON': page(`/api/runs/${id}`),
    history: page(`/api/runs/${id}/history`),
    files: page(`/runs/${id}/files`),
    machines: page('/machines'),
    metrics: page('/metrics'),
    'Bull Board': page(`/queues/api/queues?activeQueue=${id}-events&status=latest&page=1&jobsPerPage=10`),
  }
  await redisLedger(server.redis).createRun(runOf(id), 'ada')
  // So events are what is worked on.
  await redisLedger(server.redis).seal(id, 'identities', 0)
  const [waiting, done] = ['0123456789aa', '0123456789bb'].map((file) => ({
    ...fileOf('clicks'),
    id: FileId.parse(file),
  }))
  if (!waiting || !done) throw new Error('no files')
  const asked = async () => {
    const found: Record<string, { commands: number; bytes: number }> = {}
    for (const [view, look] of Object.entries(views)) {
      // The first look may load what later ones have.
      await look()
      const before = await answered(server.redis)
      await look()
      const after = await answered(server.redis)
      found[view] = { commands: after.commands - before.commands, bytes: after.bytes - before.bytes }
    }
    return found
  }

  await grow(waiting, done, { from: 0, to: 50 })
  const few = await asked()
  await grow(waiting, done, { from: 50, to: 1000 })
  const many = await asked()
  for (const view of Object.keys(views)) {
    // Numbers have more digits, and Bull Board looks for other runs every two seconds.
    expect([view, (many[view]?.commands ?? Infinity) - (few[view]?.commands ?? 0) < 10]).toEqual([view, true])
    expect([view, (many[view]?.bytes ?? Infinity) - (few[view]?.bytes ?? 0) < 2000]).toEqual([view, true])
  }
})

/** Chunks of two files: those of one wait, those of the other are done. */
async function grow(waiting: ExportFile, done: ExportFile, { from, to }: { from: number; to: number }): Promise<void> {
  const ledger = redisLedger(server.redis)
  const queue = new ChunkQueue(server.redis, id, 'events', () => {})
  onTestFinished(() => queue.close())
  const of = (file: ExportFile) => Array.from({ length: to - from }, (_, nth) => chunkOf(id, file, from + nth))
  for (const file of [waiting, done]) {
    await ledger.addFile(id, file)
    await ledger.planChunks(id, of(file))
  }
  await queue.add(of(waiting).map((chunk) => ({ chunk, title: 'clicks' })))
  await Promise.all(of(done).map((chunk) => finish(chunk, done)))
}

async function finish(chunk: Chunk, file: ExportFile): Promise<void> {
  await server.redis.set(`heapferry:${id}-events:${chunk.id}:lock`, 'test')
  const tally = tallyOf({ read: chunk.rows, sent: chunk.rows })
  const commit = { cursor: 10, tally, done: true }
  await redisLedger(server.redis).commit({ chunk, file, token: 'test' }, commit, [], { from: 0, counts: [] })
  await server.redis.del(`heapferry:${id}-events:${chunk.id}:lock`)
}

async function answered(redis: Redis): Promise<{ commands: number; bytes: number }> {
  const stats = await redis.info('stats')
  const told = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(stats)?.[1])
  return { commands: told('total_commands_processed'), bytes: told('total_net_output_bytes') }
}
