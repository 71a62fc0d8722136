import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { openPrivateRedis } from '@heapferry/queue'
import { writeBenchCsv } from '@heapferry/sample-export'
import { z } from 'zod'
import { serverCandidates } from '../test/support/server-candidates.ts'
import { type Bar, pictureOf } from './peers/picture.ts'
import { usageOfTree } from './usage.ts'

/**
 * `npm run bench:peers`: what a person would use instead, on the same file and the same receiving server, by turns. The peers are
 * installed below `.heapferry/peers`, from npm and PyPI; one that cannot be is named and left out. `--picture FILE` draws the first
 * table as an SVG.
 */
const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '200000' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', multiple: true },
    picture: { type: 'string' },
  },
})
const rows = Number(values.rows)
const rounds = Number(values.rounds)

const here = path.join(import.meta.dirname, 'peers')
const installed = path.resolve(import.meta.dirname, '../.heapferry/peers')
const python = path.join(installed, 'python/bin/python')

interface Peer {
  name: string
  /** Throws where it cannot be had. */
  install(): void
  /** What a person would type, with the server's address and a folder to keep things in. */
  command(given: { file: string; host: string; folder: string }): Promise<Command>
  /** What it makes of the rows stays on this machine. */
  sendsNothing?: boolean
}

interface Command {
  argv: readonly string[]
  env?: Record<string, string>
  cwd?: string
  over?(): Promise<void>
}

const peers: readonly Peer[] = [
  heapferry(1),
  heapferry(2),
  {
    name: 'mixpanel-import 3.1.43, its Heap mode',
    install: () => npmInstalled('mixpanel-import@3.1.43'),
    command: async ({ file, host }) => ({
      argv: [
        process.execPath,
        '--require',
        path.join(here, 'send-to-bench.cjs'),
        'node_modules/mixpanel-import/index.js',
        file,
        ...'--token bench --secret bench --format csv --vendor heap'.split(' '),
        ...'--abridged --compress --logs false --verbose false'.split(' '),
      ],
      env: { BENCH_SERVER: host },
      cwd: installed,
    }),
  },
  {
    name: 'posthog-node, a call for each row',
    install: () => {},
    command: async ({ file, host }) => ({
      argv: [process.execPath, path.join(here, 'posthog-node-loop.mjs'), file, host],
    }),
  },
  {
    name: "posthog in Python, as in PostHog's guide",
    install: () => pipInstalled('pandas==3.1.1', 'posthog==7.91.1'),
    command: async ({ file, host }) => ({ argv: [python, path.join(here, 'posthog-python-loop.py'), file, host] }),
  },
  {
    name: 'DuckDB 2.0.1, a file of another shape (floor)',
    install: () => pipInstalled('duckdb==2.0.1'),
    command: async ({ file, folder }) => ({
      argv: [python, path.join(here, 'reshape.py'), file, path.join(folder, 'out.json')],
    }),
    sendsNothing: true,
  },
]

function heapferry(workers: number): Peer {
  return {
    name: `heapferry, ${workers} ${workers === 1 ? 'worker' : 'workers'}`,
    install: () => {},
    async command({ file, host, folder }) {
      const redis = await openPrivateRedis({ home: folder, serverCandidates })
      // No peer tells people what was first of them.
      const mapping = path.join(folder, 'heapferry.yaml')
      await writeFile(mapping, 'first_touch: skip\n')
      const bin = path.resolve(import.meta.dirname, '../dist/heapferry.mjs')
      return {
        argv: [
          process.execPath,
          bin,
          'run',
          file,
          ...`--run bench --workers ${workers} --no-dashboard`.split(' '),
          '--mapping',
          mapping,
        ],
        env: {
          POSTHOG_HOST: host,
          POSTHOG_API_KEY: 'phc_bench000000000000000000000000000000000000',
          HEAPFERRY_HOME: folder,
          HEAPFERRY_TRANSPORT: 'batch',
          REDIS_URL: redis.url,
        },
        over: () => redis.close(),
      }
    },
  }
}

function npmInstalled(name: string): void {
  mkdirSync(installed, { recursive: true })
  execFileSync('npm', ['install', '--prefix', installed, '--no-save', '--no-audit', '--no-fund', name], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
}

function pipInstalled(...names: string[]): void {
  if (!existsSync(python)) execFileSync('python3', ['-m', 'venv', path.join(installed, 'python')], { stdio: 'pipe' })
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', ...names], { stdio: 'pipe' })
}

const Count = z.object({ events: z.number(), requests: z.number() })

interface Measured {
  seconds: number
  cpuSeconds: number
  peakBytes: number
  /** What the server took. */
  events: number
}

/**
 * @param kill kills the command once the server has half of the rows, and gives it once more, from where it itself goes on
 * @param refuseSeconds how long the server answers 429 at the beginning
 */
async function measure(
  peer: Peer,
  {
    file,
    host,
    kill = false,
    refuseSeconds = 0,
  }: { file: string; host: string; kill?: boolean; refuseSeconds?: number },
): Promise<Measured> {
  const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-peer-'))
  const command = await peer.command({ file, host, folder })
  try {
    await fetch(`${host}/refuse/${refuseSeconds}`, { method: 'POST' })
    const first = await runOnce(command, kill ? async () => (await countOf(host)) > rows / 2 : null)
    const second = kill ? await runOnce(command, null) : { seconds: 0, cpuSeconds: 0, peakBytes: 0 }
    return {
      seconds: first.seconds + second.seconds,
      cpuSeconds: first.cpuSeconds + second.cpuSeconds,
      peakBytes: Math.max(first.peakBytes, second.peakBytes),
      events: await countOf(host),
    }
  } finally {
    await command.over?.()
    await rm(folder, { recursive: true })
  }
}

async function countOf(host: string): Promise<number> {
  return Count.parse(await (await fetch(`${host}/count`)).json()).events
}

async function runOnce(
  { argv, env = {}, cwd = process.cwd() }: Command,
  until: (() => Promise<boolean>) | null,
): Promise<Omit<Measured, 'events'>> {
  const [program = '', ...args] = argv
  const startedMs = performance.now()
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'ignore'],
    detached: true,
  })
  const exited = once(child, 'exit')
  const used = usageOfTree(child.pid ?? 0)
  let isOver = false
  void exited.then(() => (isOver = true))
  while (!isOver) {
    used.look()
    if (until !== null && (await until())) process.kill(-(child.pid ?? 0), 'SIGKILL')
    await Promise.race([exited, sleep(100)])
  }
  return { seconds: (performance.now() - startedMs) / 1000, ...used.total() }
}

const folder = await mkdtemp(path.join(tmpdir(), 'heapferry-bench-'))
const server = spawn(process.execPath, ['--import', 'tsx', path.join(here, 'counting-server.ts')], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
try {
  const [line] = await once(server.stdout, 'data')
  const host = String(line).trim()
  const there = peers.filter((peer) => {
    if (values.only && !values.only.some((word) => peer.name.includes(word))) return false
    try {
      peer.install()
      return true
    } catch (error) {
      print(`${peer.name}: left out, it could not be installed (${String(error).split('\n')[0]})`)
      return false
    }
  })
  for (const kind of ['plain', 'quoted'] as const) {
    const file = path.join(folder, `${kind}.csv`)
    await writeBenchCsv(file, { rows, seed: 1, quoted: kind === 'quoted' })
    const results = new Map<Peer, Measured[]>()
    for (let round = 0; round < rounds; round++)
      for (const peer of there) results.set(peer, [...(results.get(peer) ?? []), await measure(peer, { file, host })])

    print(`\n${rows.toLocaleString('en-US')} pageviews, ${kind}; the median of ${rounds} rounds by turns\n`)
    print('| | events/s | CPU µs/event | peak MB | delivered | after kill -9 and again | 429 for 10 s |')
    print('|---|---|---|---|---|---|---|')
    const bars: Bar[] = []
    for (const [peer, measured] of results) {
      const taken = peer.sendsNothing ? rows : median(measured.map(({ events }) => events))
      const seconds = median(measured.map((one) => one.seconds))
      const cpuSeconds = median(measured.map((one) => one.cpuSeconds))
      const peakBytes = median(measured.map((one) => one.peakBytes))
      const faults =
        peer.sendsNothing || kind === 'quoted'
          ? ['–', '–']
          : [
              share((await measure(peer, { file, host, kill: true })).events),
              share((await measure(peer, { file, host, refuseSeconds: 10 })).events),
            ]
      const cells = [
        peer.name,
        Math.round(rows / seconds).toLocaleString('en-US'),
        ((cpuSeconds * 1e6) / rows).toFixed(1),
        Math.round(peakBytes / 1e6),
        peer.sendsNothing ? 'file' : share(taken),
        ...faults,
      ]
      print(`| ${cells.join(' | ')} |`)
      const [rowsPerSecond, cpuUsPerRow] = [rows / seconds, (cpuSeconds * 1e6) / rows]
      if (!peer.sendsNothing) bars.push({ name: peer.name, rowsPerSecond, cpuUsPerRow, delivered: taken / rows })
    }
    if (values.picture && kind === 'plain') {
      await writeFile(values.picture, pictureOf(`${rows.toLocaleString('en-US')} pageviews on two cores`, bars))
    }
  }
} finally {
  server.kill()
  await rm(folder, { recursive: true })
}

/** Of the rows; more than all of them stands for events that came twice. */
function share(events: number): string {
  return `${((events / rows) * 100).toFixed(1)} %`
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
