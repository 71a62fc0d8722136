import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { connectRedis, openPrivateRedis } from '@heapferry/queue'
import { writeBenchCsv } from '@heapferry/sample-export'
import { serverCandidates } from '../test/support/server-candidates.ts'
import { round1 } from './stages.ts'
import { childrenOf, type Usage, usageOf } from './usage.ts'

const ownBin = path.resolve(import.meta.dirname, '../dist/heapferry.mjs')

/** One and two workers with a million rows of each input, then five million for what grows with it. */
export async function* benchRun(): AsyncGenerator<object> {
  for (const { rows, quoted, workerCounts } of [
    { rows: 1_000_000, quoted: false, workerCounts: [1, 2] },
    { rows: 1_000_000, quoted: true, workerCounts: [1, 2] },
    { rows: 5_000_000, quoted: false, workerCounts: [2] },
  ]) {
    yield* onBenchCsv({ rows, quoted }, async function* (run) {
      for (const workers of workerCounts)
        yield { quoted: String(quoted), ...(await measured({ ...run, workers, pages: null })) }
    })
  }
}

/** What it costs when people watch: in turns, because the machine is not always as fast. */
export async function* benchPages(): AsyncGenerator<object> {
  yield* onBenchCsv({ rows: 1_000_000, quoted: false }, async function* (run) {
    for (let turn = 0; turn < 3; turn++) for (const pages of [0, 50]) yield measured({ ...run, workers: 2, pages })
  })
}

export async function* onBenchCsv<T>(
  { rows, quoted }: { rows: number; quoted: boolean },
  measure: (run: Pick<Case, 'folder' | 'source' | 'host' | 'rows'>) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  const server = spawn(process.execPath, ['--import', 'tsx', path.join(import.meta.dirname, 'discarding-server.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const host = await firstLine(server)
    const source = path.join(folder, 'pageviews.csv')
    await writeBenchCsv(source, { rows, seed: 1, quoted })
    yield* measure({ folder, source, host, rows })
  } finally {
    server.kill()
    await rm(folder, { recursive: true })
  }
}

interface Case {
  folder: string
  source: string
  host: string
  rows: number
  workers: number
  /** How many pages of the run are open; null where no dashboard is. */
  pages: number | null
  /** The command; that of this checkout unless told. */
  bin?: string
}

export async function measured({ folder, source, host, rows, workers, pages, bin = ownBin }: Case) {
  const home = await mkdtemp(path.join(folder, 'home-'))
  const redisServer = await openPrivateRedis({ home, serverCandidates })
  const redis = await connectRedis(redisServer.url, () => {})
  const emptyBytes = await memoryUsed(redis)
  const startedMs = performance.now()
  const env = {
    ...process.env,
    POSTHOG_HOST: host,
    POSTHOG_API_KEY: 'phc_bench000000000000000000000000000000000000',
    HEAPFERRY_HOME: home,
    HEAPFERRY_TRANSPORT: 'batch',
    REDIS_URL: redisServer.url,
    HEAPFERRY_DASHBOARD_PORT: '0',
    LOG_LEVEL: 'warn',
  }
  const args = [bin, 'run', source, '--run', 'bench', '--workers', String(workers), '--json']
  if (pages === null) args.push('--no-dashboard')
  const command = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const lines: string[] = []
  command.stdout.on('data', (data) => lines.push(String(data)))
  const watching = pages === null ? null : await openPages(command.stderr, pages)

  const seen = new Map<number, Usage>()
  let redisPeakBytes = 0
  let dashboardCpuSeconds = 0
  const sampling = setInterval(() => {
    dashboardCpuSeconds = usageOf(command.pid ?? 0)?.cpuSeconds ?? dashboardCpuSeconds
    for (const pid of childrenOf(command.pid ?? 0))
      seen.set(pid, usageOf(pid) ?? seen.get(pid) ?? { cpuSeconds: 0, peakBytes: 0 })
    void memoryUsed(redis).then((bytes) => (redisPeakBytes = Math.max(redisPeakBytes, bytes)))
  }, 200)
  const [code] = await once(command, 'exit')
  clearInterval(sampling)
  watching?.kill()
  const seconds = (performance.now() - startedMs) / 1000
  const status = JSON.parse(lines.join('').trim().split('\n').at(-1) ?? '{}')
  const ofFile = status.tables.find(({ table }: { table: string }) => table === 'pageviews')
  if (code !== 0 || ofFile.sent !== rows) throw new Error(`the run ended with ${code}: ${JSON.stringify(status)}`)

  const chunks = await redis.hlen(`heapferry-ledger:run:${status.run}:checkpoints`)
  redis.disconnect()
  await redisServer.close()
  const usage = [...seen.values()].filter(({ cpuSeconds }) => cpuSeconds > 1)
  const cpuSeconds = usage.reduce((sum, { cpuSeconds: own }) => sum + own, 0)
  return {
    rows,
    workers,
    ...(pages === null ? {} : { pages, 'CPU s of dashboard and producer': round1(dashboardCpuSeconds) }),
    'events/s (whole command)': Math.round(rows / seconds),
    seconds: round1(seconds),
    'worker CPU µs/event': round1((cpuSeconds * 1e6) / rows),
    'worker peak MB': Math.round(Math.max(...usage.map(({ peakBytes }) => peakBytes)) / 1e6),
    chunks,
    'Redis peak MB': round1((redisPeakBytes - emptyBytes) / 1e6),
  }
}

async function openPages(said: NodeJS.ReadableStream, pages: number): Promise<ChildProcess> {
  for await (const line of createInterface({ input: said })) {
    const url = /^Dashboard: (\S+)/.exec(line)?.[1]
    if (url === undefined) continue
    said.resume()
    const args = ['--import', 'tsx', path.join(import.meta.dirname, 'open-pages.ts'), `${url}/live/runs/bench`]
    return spawn(process.execPath, [...args, String(pages)], { stdio: ['ignore', 'ignore', 'inherit'] })
  }
  throw new Error('the run has no dashboard')
}

async function memoryUsed(redis: { info(section: string): Promise<string> }): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
}

async function firstLine(process: ChildProcess): Promise<string> {
  if (!process.stdout) throw new Error('the server has no output')
  const [data] = await once(process.stdout, 'data')
  return String(data).trim()
}
