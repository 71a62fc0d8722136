import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { openPrivateRedis } from '@heapferry/queue'
import { writeBenchCsv } from '@heapferry/sample-export'
import { serverCandidates } from '../test/support/server-candidates.ts'
import { latenessFromNow, usedShare, worstSecond } from '../test/support/throughput.ts'

const apiKey = 'phc_bench000000000000000000000000000000000000'
const pace = 5000
const latenciesMs = [50, 200, 1000]
const files = 20
const rowsPerFile = 7500
// Until every lane has its first chunk.
const warmUpMs = 5000

/** How much of PostHog Cloud's pace `heapferry run` uses, as it is without flags, where answers take so long. */
export async function* benchPace(): AsyncGenerator<object> {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
  try {
    const source = path.join(folder, 'export')
    await mkdir(source)
    for (let file = 0; file < files; file++)
      await writeBenchCsv(path.join(source, `pageviews-${file + 1e11}.csv`), { rows: rowsPerFile, seed: file })
    for (const latencyMs of latenciesMs) yield usedAt(latencyMs, folder, source)
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function usedAt(latencyMs: number, folder: string, source: string): Promise<object> {
  const home = await mkdtemp(path.join(folder, 'home-'))
  const redisServer = await openPrivateRedis({ home, serverCandidates })
  const posthog = await startFakePostHog({ apiKey, keep: 'ids' })
  posthog.fault({ kind: 'latency', ms: latencyMs })
  const mapping = path.join(home, 'mapping.yaml')
  await writeFile(mapping, 'first_touch: skip\n')
  const env = {
    ...process.env,
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: home,
    REDIS_URL: redisServer.url,
    LOG_LEVEL: 'warn',
  }
  const bin = path.resolve(import.meta.dirname, '../dist/heapferry.mjs')
  const args = [bin, 'run', source, '--mapping', mapping, '--pace', String(pace), '--no-dashboard']
  const lateness = latenessFromNow()
  try {
    const [code] = await once(spawn(process.execPath, args, { env, stdio: 'ignore' }), 'exit')
    const arrivals = posthog.batches.map(({ receivedAtMs, events }) => ({ atMs: receivedAtMs, events }))
    const sent = arrivals.reduce((sum, { events }) => sum + events, 0)
    if (code !== 0 || sent !== files * rowsPerFile) throw new Error(`the run ended with ${code} after ${sent} events`)
    const fromMs = (arrivals[0]?.atMs ?? 0) + warmUpMs
    // At the end lanes run out of chunks one after the other.
    const beforeTheEnd = arrivals.slice(0, Math.floor(arrivals.length * 0.9))
    const steady = beforeTheEnd.filter(({ atMs }) => atMs >= fromMs)
    return {
      'ms until an answer': latencyMs,
      'used of the pace, %': Math.round(usedShare(steady, pace) * 100),
      'worst second, % of the pace': Math.round((worstSecond(arrivals) / pace) * 100),
      'receiver late by, ms': lateness(),
    }
  } finally {
    await posthog.stop()
    await redisServer.close()
  }
}
