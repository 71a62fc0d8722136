import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { defaultMapping, type ExportFile } from '@heapferry/domain'
import { lookAtTables, planRun, repeatedFileNotices, resolvePeople } from '@heapferry/migration'
import { ChunkQueue, connectRedis, openPrivateRedis, redisLedger } from '@heapferry/queue'
import { discover, inspectExport, sourceAt } from '@heapferry/sources'
import { runOf } from '../test/support/chunk.ts'
import { serverCandidates } from '../test/support/server-candidates.ts'
import { tell } from './in-own-process.ts'

/**
 * What the producer does with files: list, choose, look into every one, read the first rows of some, tell who is who, cut all
 * and enqueue their chunks.
 */
const [origin = '', endpoint] = process.argv.slice(2)
const s3 = { ...(endpoint !== undefined && { endpoint }), pathStyle: true, requesterPays: false }
const startedMs = performance.now()
const startedCpu = process.cpuUsage()
const discovery = await discover(origin, s3)
const discoveredMs = performance.now()
const inspected = await inspectExport(discovery, defaultMapping)
const inspectedMs = performance.now()
const source = sourceAt(discovery.place)
const found = inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : []))
const { files } = await lookAtTables(found, source, defaultMapping)
await repeatedFileNotices(source, files)
const lookedMs = performance.now()
const { user, system } = process.cpuUsage(startedCpu)
await resolvePeople(files, source.readAll, { mapping: defaultMapping, hashSalt: null, listNamed: false })
const resolvedMs = performance.now()
const cutMs = await cut(files)
source.close()
tell({
  files: files.length,
  'discovering s': (discoveredMs - startedMs) / 1000,
  'inspecting s': (inspectedMs - discoveredMs) / 1000,
  'first rows s': (lookedMs - inspectedMs) / 1000,
  seconds: (lookedMs - startedMs) / 1000,
  'CPU s': (user + system) / 1e6,
  'who is who s': (resolvedMs - lookedMs) / 1000,
  'cutting and enqueueing s': cutMs / 1000,
})

async function cut(all: readonly ExportFile[]): Promise<number> {
  const home = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  const server = await openPrivateRedis({ home, serverCandidates })
  const redis = await connectRedis(server.url, () => {})
  const run = runOf('discovery', { chunkBytes: 8 * 1024 * 1024 })
  const queues = {
    identities: new ChunkQueue(redis, run.id, 'identities', () => {}),
    events: new ChunkQueue(redis, run.id, 'events', () => {}),
  }
  try {
    const ledger = redisLedger(redis)
    await ledger.createRun(run, 'bench')
    const beganMs = performance.now()
    await planRun(run, all, {
      ledger,
      schedule: {
        add: (phase, chunks) => queues[phase].add(chunks),
        known: (phase, ids) => queues[phase].known(ids),
      },
      source,
      signal: new AbortController().signal,
    })
    return performance.now() - beganMs
  } finally {
    await Promise.all([queues.identities.close(), queues.events.close()])
    redis.disconnect()
    await server.close()
    await rm(home, { recursive: true })
  }
}
