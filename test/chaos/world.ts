import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { hostname } from 'node:os'
import path from 'node:path'
import { type ChunkId, phases, Pulse, RunId } from '@heapferry/domain'
import type { FaultInput } from '@heapferry/fake-posthog'
import { onTestFinished } from 'vitest'
import { z } from 'zod'
import { keysOf } from '../../packages/queue/src/keys.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry, type HeapferryProcess } from '../support/heapferry.ts'
import { type ServiceManager, serviceManager } from '../support/service-manager.ts'
import { canMount, mounted } from '../support/small-disk.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { type RedisPair, startRedisPair } from './redis-pair.ts'

const apiKey = 'phc_chaos000000000000000000000000000000000000000'
const slotsPerWorker = 4

/** Everything that a run needs, each in a process of its own and where it can be hurt. */
export interface World {
  run: RunId
  /** The export, which is to be put there. */
  source: string
  home: string
  /** The work store, on a disk of its own; null where this machine lets nobody mount one. */
  disk: string | null
  redis: RedisPair
  redisProxy: TcpProxy
  posthogProxy: TcpProxy
  posthog: PostHogProcess
  services: ServiceManager
  /** Workers that have been stopped, and go on later. */
  stopped: Set<HeapferryProcess>
  /** Starts a producer, until one has ended well. */
  produce(): HeapferryProcess
  /** A command of its own, to its end. */
  command(...args: string[]): Promise<Awaited<HeapferryProcess['ended']>>
  /** What a worker said last that it has in hand. */
  chunksOf(worker: HeapferryProcess): Promise<ChunkId[]>
  /** How far chunks are, whether they wait for a worker, and who holds them. */
  standingOf(chunks: readonly ChunkId[]): Promise<Standing[]>
  hasFreeSlots(): Promise<boolean>
}

interface Standing {
  checkpoint: string | null
  waits: boolean
  lock: string | null
}

const StoredEvent = z.object({ uuid: z.string(), event: z.string(), distinct_id: z.string(), timestamp: z.string() })
const Counts = z.object({ requests: z.record(z.string(), z.number()), stored: z.number(), duplicates: z.number() })

interface PostHogProcess {
  fault(fault: FaultInput): Promise<void>
  clearFaults(): Promise<void>
  counts(): Promise<z.infer<typeof Counts>>
  events(): AsyncGenerator<z.infer<typeof StoredEvent>>
}

/**
 * @param options.rows how large the disk of the work store has to be
 * @param options.pace events a second, of all workers
 */
export async function startWorld({ rows, pace }: { rows: number; pace: number }): Promise<World> {
  const folder = await temporaryFolder()
  const home = path.join(folder, 'home')
  const run = RunId.parse('chaos')
  const disk = canMount() ? mounted(path.join(folder, 'store'), `${Math.ceil(rows / 2000) + 64}m`) : null
  const redis = await startRedisPair()
  const redisProxy = await startTcpProxy(() => redis.primary.port)
  const posthogPort = await startPostHog()
  const posthogProxy = await startTcpProxy(posthogPort)
  const env = () => ({
    REDIS_URL: `redis://127.0.0.1:${redisProxy.port}`,
    POSTHOG_HOST: `http://127.0.0.1:${posthogProxy.port}`,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: home,
    ...(disk !== null && { HEAPFERRY_WORK_STORE: disk }),
  })
  const services = serviceManager(folder, env)
  const stopped = new Set<HeapferryProcess>()
  const { runKeys, queueKeys } = keysOf(redis.primary.admin)
  const keys = runKeys(run)
  const source = path.join(folder, 'export')

  return {
    run,
    source,
    home,
    disk,
    redis,
    redisProxy,
    posthogProxy,
    posthog: posthogAt(`http://127.0.0.1:${posthogPort}/_fake`),
    services,
    stopped,
    produce: () => services.keepRunning('producer', ['enqueue', source, '--run', run, '--pace', String(pace)]),
    command: async (...args) => heapferry(args, { cwd: folder, env: env() }).ended,
    async chunksOf({ child }) {
      const pulse = await redis.primary.admin.hget(keys.pulses, `${hostname()}:${child.pid}`)
      return pulse === null ? [] : Pulse.parse(JSON.parse(pulse)).chunks.map(({ id }) => id)
    },
    standingOf: (chunks) =>
      Promise.all(
        chunks.map(async (chunk) => {
          const { admin } = redis.primary
          const [checkpoint, ...queued] = await Promise.all([
            admin.hget(keys.checkpoints, chunk),
            ...phases.map(async (phase) => {
              const queue = queueKeys(run, phase)
              return Promise.all([
                admin.lpos(queue.wait, chunk),
                admin.zscore(queue.prioritized, chunk),
                admin.get(queue.lock(chunk)),
              ])
            }),
          ])
          return {
            checkpoint,
            waits: queued.some(([waiting, prioritized]) => waiting !== null || prioritized !== null),
            lock: queued.map(([, , lock]) => lock).find((lock) => lock !== null) ?? null,
          }
        }),
      ),
    async hasFreeSlots() {
      const active = await Promise.all(phases.map((phase) => redis.primary.admin.llen(queueKeys(run, phase).active)))
      const slots = slotsPerWorker * (services.of('worker').length - stopped.size)
      return active.reduce((sum, count) => sum + count, 0) < slots
    },
  }
}

async function startPostHog(): Promise<number> {
  const args = ['--import', 'tsx', path.join(import.meta.dirname, 'posthog-process.ts'), apiKey]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(async () => {
    const ended = once(child, 'exit')
    if (child.kill('SIGKILL')) await ended
  })
  const [port] = await once(child.stdout, 'data')
  return Number(port)
}

function posthogAt(url: string): PostHogProcess {
  const asked = async (at: string, init?: RequestInit): Promise<unknown> => {
    const answer = await fetch(`${url}/${at}`, init)
    if (!answer.ok) throw new Error(`${at}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }
  return {
    async fault(fault) {
      await asked('faults', { method: 'POST', body: JSON.stringify(fault) })
    },
    async clearFaults() {
      await asked('faults', { method: 'DELETE' })
    },
    counts: async () => Counts.parse(await asked('counts')),
    async *events() {
      const Page = z.object({ events: z.array(StoredEvent), next: z.number().nullable() })
      for (let offset: number | null = 0; offset !== null; ) {
        const page: z.infer<typeof Page> = Page.parse(await asked(`events?offset=${offset}&limit=50000`))
        yield* page.events
        offset = page.next
      }
    },
  }
}
