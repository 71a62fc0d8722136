import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { avroTable } from '../test/support/sample-dump.ts'
import { startS3StandIn } from '../test/support/s3-stand-in.ts'
import { fastest, inOwnProcess } from './in-own-process.ts'
import { round1 } from './stages.ts'

const filesOf = { pageviews: 9000, clicks: 9000, users: 2000 }
const peoplePerFile = 5
const timesEach = 3
const names = ['event_id', 'user_id', 'session_id', 'time', 'library', 'platform', 'country', 'path', 'query', 'title']

/** A dump of twenty thousand files, in a folder and in buckets whose stores answer at once and after 20 ms. */
export async function benchDiscovery(): Promise<object[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  const near = await startS3StandIn()
  const far = await startS3StandIn({ beforeAnswer: () => sleep(20) })
  try {
    for (const file of await writeDump(folder)) {
      const body = await readFile(path.join(folder, file))
      for (const store of [near, far]) await store.put(file, body)
    }
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) process.env[name] = 'bench'
    process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true'
    return [
      { place: 'folder', ...(await measured([folder])) },
      { place: 'bucket', ...(await measured([`s3://${near.bucket}`, near.endpoint])) },
      { place: 'bucket, 20 ms away', ...(await measured([`s3://${far.bucket}`, far.endpoint])) },
    ]
  } finally {
    await near.close()
    await far.close()
    await rm(folder, { recursive: true })
  }
}

/** The stores are in this process, which does nothing else: what it takes is what they take. */
async function measured(args: readonly string[]): Promise<object> {
  const runs = []
  for (let time = 0; time < timesEach; time++) {
    const before = process.cpuUsage()
    const run = await inOwnProcess('discover-dumps.ts', args)
    const { user, system } = process.cpuUsage(before)
    runs.push({ ...run, storeCpuSeconds: (user + system) / 1e6 })
  }
  const { peakMb, result, storeCpuSeconds } = fastest(runs, (run) => run.result['seconds'] ?? 0)
  return {
    ...Object.fromEntries(Object.entries(result).map(([what, value]) => [what, round1(value)])),
    'peak MB': peakMb,
    'CPU s of the store': round1(storeCpuSeconds),
  }
}

/** @returns the paths of its files */
async function writeDump(folder: string): Promise<string[]> {
  const tables = Object.entries(filesOf).map(([name, count]) => ({
    name,
    files: Array.from({ length: count }, (_, nth) => fileOf(name, nth)),
  }))
  for (const { name, files } of tables) {
    await mkdir(path.join(folder, 'sync_1', name), { recursive: true })
    for (const [nth, file] of files.entries())
      await writeFile(path.join(folder, file), name === 'users' ? usersFile(nth) : eventsFile)
  }
  const listed = tables.map(({ name, files }) => {
    return { name, incremental: false, files: files.map((file) => `s3://heap-rs3-example/${file}`) }
  })
  const manifest = 'manifests/sync_1.json'
  await mkdir(path.join(folder, 'manifests'))
  await writeFile(path.join(folder, manifest), JSON.stringify({ dump_id: 1, tables: listed }))
  return [manifest, ...tables.flatMap(({ files }) => files)]
}

function fileOf(table: string, number: number): string {
  const part = String(number).padStart(5, '0')
  return `sync_1/${table}/part-${part}-4a06bab5-0ef3-4b21-b9af-e772fbb37b0e-c000.avro`
}

const eventsFile = tableOf(names, [
  Object.fromEntries(names.map((name, index) => [name, index < 3 ? '4702333951502204' : name])),
])

/** Every person has two ids, and rows in two files: so people are read twice. */
function usersFile(nth: number): Buffer {
  const rows = Array.from({ length: peoplePerFile * 2 }, (_, row) => {
    const id = nth * peoplePerFile + row
    return { user_id: String(id), identity: `${id >> 1}@example.com`, joindate: '2023-01-02 03:04:05' }
  })
  return tableOf(['user_id', 'identity', 'joindate'], rows)
}

function tableOf(columns: readonly string[], rows: Record<string, string>[]): Buffer {
  const typed = columns.map((name) => {
    const type = name.endsWith('_id') ? ('long' as const) : ('string' as const)
    return { name, type, union: 'null_first' as const }
  })
  return avroTable(typed, rows, 'snappy')
}
