import { setTimeout as sleep } from 'node:timers/promises'
import type { ChunkId } from '@heapferry/domain'
import type { FaultInput } from '@heapferry/fake-posthog'
import { keysOf } from '../../packages/queue/src/keys.ts'
import type { Random } from '../../packages/sample-export/src/random.ts'
import type { HeapferryProcess } from '../support/heapferry.ts'
import { fill } from '../support/small-disk.ts'
import { until } from '../support/until.ts'
import type { World } from './world.ts'

/** What became of one fault that was drawn. */
interface Struck {
  /** False where there was nothing to strike, such as a producer that had ended. */
  happened: boolean
  /** Whether heapferry had to do with it: by what Redis, PostHog or a proxy counted, or a chunk that another worker took. */
  noticed: boolean
  /** Chunks that were in the hand of a worker that is struck, and when that was, by `performance.now()`. */
  taken?: { chunks: ChunkId[]; atMs: number }
}

export interface Fault {
  name: string
  /** How often it comes, until all of its kind have come. */
  weight: number
  /** Whether the next fault of its kind may come before it has ended. */
  inBackground?: true
  strike(world: World, random: Random): Promise<Struck>
}

const lockMs = 10_000
const nothing: Struck = { happened: false, noticed: false }

const workerKilled: Fault = {
  name: 'worker: SIGKILL',
  weight: 14,
  async strike(world, random) {
    const victim = await busyWorker(world, random)
    if (!victim) return nothing
    const chunks = await world.chunksOf(victim)
    const atMs = performance.now()
    if (!(await killed(victim))) return nothing
    return { happened: true, noticed: chunks.length > 0, taken: { chunks, atMs } }
  },
}

const workerStopped: Fault = {
  name: 'worker: SIGSTOP, longer than its lock',
  weight: 3,
  inBackground: true,
  async strike(world, random) {
    const victim = await busyWorker(world, random)
    if (!victim) return nothing
    const chunks = await world.chunksOf(victim)
    const atMs = performance.now()
    victim.child.kill('SIGSTOP')
    world.stopped.add(victim)
    try {
      const before = await world.standingOf(chunks)
      await sleep(lockMs + 3000 + random.below(8000))
      const after = await world.standingOf(chunks)
      const noticed = after.some(({ lock, checkpoint }, nth) => {
        const was = before[nth]
        return lock !== was?.lock || checkpoint !== was?.checkpoint
      })
      return { happened: true, noticed, taken: { chunks, atMs } }
    } finally {
      world.stopped.delete(victim)
      victim.child.kill('SIGCONT')
    }
  },
}

const producerKilled: Fault = {
  name: 'producer: SIGKILL',
  weight: 4,
  inBackground: true,
  async strike(world, random) {
    const producer = aProducerOf(world)
    await sleep(random.below(2500))
    const atMs = await producedAt(world)
    if (!(await killed(producer))) return nothing
    const noticed = await holdsWithin(60_000, async () => (await producedAt(world)) !== atMs)
    return { happened: true, noticed }
  },
}

const producerStopped: Fault = {
  name: 'producer: SIGSTOP',
  weight: 1,
  inBackground: true,
  async strike(world, random) {
    const { child } = aProducerOf(world)
    await sleep(random.below(1500))
    if (child.exitCode !== null || child.signalCode !== null || !child.kill('SIGSTOP')) return nothing
    await sleep(lockMs + random.below(8000))
    const isAlive = child.exitCode === null && child.signalCode === null
    child.kill('SIGCONT')
    return { happened: isAlive, noticed: isAlive }
  },
}

/** The store is written by young producers only: most of a run passes without anybody's notice. */
export const diskFull: Fault = {
  name: 'disk of the work store full',
  weight: 1,
  async strike(world) {
    if (world.disk === null) return nothing
    const { lastWords } = world.services
    const said = lastWords.length
    const free = fill(world.disk)
    try {
      const { child } = aProducerOf(world)
      const isTold = () => lastWords.slice(said).some((words) => words.includes('ENOSPC'))
      await holdsWithin(60_000, () => isTold() || child.exitCode === 0)
      return { happened: true, noticed: isTold() }
    } finally {
      free()
    }
  },
}

const redisKilled: Fault = {
  name: 'Redis: SIGKILL, and started again',
  weight: 1,
  async strike({ redis }, random) {
    await redis.killFor(random.below(3000))
    return { happened: true, noticed: true }
  },
}

const redisFrozen: Fault = {
  name: 'Redis: SIGSTOP, longer than all locks',
  weight: 1,
  async strike({ redis }, random) {
    const { child } = redis.primary
    child.kill('SIGSTOP')
    await sleep(lockMs + 1000 + random.below(8000))
    child.kill('SIGCONT')
    return { happened: true, noticed: true }
  },
}

const failedOver: Fault = {
  name: 'Redis: fail-over',
  weight: 1,
  async strike({ redis }) {
    const before = redis.primary
    await redis.failOver()
    const noticed = await holdsWithin(30_000, async () => (await clients(redis.primary)) > 1)
    return { happened: redis.primary !== before, noticed }
  },
}

const clientsKilled: Fault = {
  name: 'Redis: CLIENT KILL of all',
  weight: 1,
  async strike({ redis }) {
    const killedClients = Number(await redis.primary.admin.call('CLIENT', 'KILL', 'TYPE', 'normal'))
    return { happened: true, noticed: killedClients > 0 }
  },
}

const clientsPaused: Fault = {
  name: 'Redis: CLIENT PAUSE',
  weight: 1,
  async strike({ redis }, random) {
    const ms = 3000 + random.below(9000)
    await redis.primary.admin.call('CLIENT', 'PAUSE', String(ms), 'ALL')
    const atMs = performance.now()
    // It is paused as well.
    await redis.primary.admin.ping()
    return { happened: true, noticed: performance.now() - atMs > ms / 2 }
  },
}

const redisFull: Fault = {
  name: 'Redis: maxmemory reached',
  weight: 1,
  strike: ({ redis }, random) =>
    refusing(redis, 'OOM', random, {
      begin: (admin) => admin.config('SET', 'maxmemory', '1'),
      end: (admin) => admin.config('SET', 'maxmemory', '0'),
    }),
}

const redisReadOnly: Fault = {
  name: 'Redis: READONLY, a replica of nobody',
  weight: 1,
  strike: ({ redis }, random) =>
    refusing(redis, 'READONLY', random, {
      begin: (admin) => admin.replicaof('127.0.0.1', '1'),
      end: (admin) => admin.replicaof('NO', 'ONE'),
    }),
}

const redisHalfOpen: Fault = {
  name: 'Redis: half-open connections',
  weight: 1,
  async strike({ redisProxy }) {
    const before = redisProxy.swallowedBytes()
    redisProxy.dropOpen()
    return { happened: true, noticed: await holdsWithin(20_000, () => redisProxy.swallowedBytes() > before) }
  },
}

const posthogHalfOpen: Fault = {
  name: 'PostHog: half-open connections',
  weight: 1,
  inBackground: true,
  async strike(world) {
    const [before, swallowed] = [await unanswered(world), world.posthogProxy.swallowedBytes()]
    world.posthogProxy.dropOpen()
    const noticed = await holdsWithin(75_000, async () => (await unanswered(world)) > before)
    return { happened: true, noticed: noticed || world.posthogProxy.swallowedBytes() > swallowed }
  },
}

const posthogSilent: Fault = {
  name: 'PostHog: no answer within 60 s',
  weight: 1,
  inBackground: true,
  async strike(world, random) {
    const before = await unanswered(world)
    await world.posthog.fault({ kind: 'latency', ms: 65_000, next: 1 + random.below(2) })
    const noticed = await holdsWithin(75_000, async () => (await unanswered(world)) > before)
    return { happened: true, noticed }
  },
}

/** PostHog says that the key is none: the run pauses itself, and goes on when a person says so. */
const keyRefused: Fault = {
  name: 'PostHog: 401, and a person resumes',
  weight: 1,
  async strike(world) {
    const key = keysOf(world.redis.primary.admin).runKeys(world.run).run
    const isPaused = async () => (await world.redis.primary.admin.hget(key, 'intent'))?.includes('"pause"') ?? false
    await world.posthog.fault({ kind: 'status', status: 401, next: 1 })
    const noticed = await holdsWithin(30_000, isPaused)
    await sleep(1000)
    await until('the run goes on', async () => {
      await world.command('resume', world.run)
      return !(await isPaused())
    })
    return { happened: true, noticed }
  },
}

const slow: FaultInput = { kind: 'latency', ms: 3000 }
const some = { probability: 0.7 }
/** Faults of the stand-in, and the outcome by which it counts them. */
const answers: { name: string; outcome: string; fault: FaultInput; lasts: boolean }[] = [
  { name: '429, Retry-After 2', outcome: '429', fault: { kind: 'status', status: 429, retryAfterS: 2 }, lasts: true },
  { name: '500', outcome: '500', fault: { kind: 'status', status: 500, ...some }, lasts: true },
  { name: '503', outcome: '503', fault: { kind: 'status', status: 503, ...some }, lasts: true },
  { name: '400', outcome: '400', fault: { kind: 'status', status: 400, next: 2 }, lasts: false },
  { name: '413', outcome: '413', fault: { kind: 'status', status: 413, next: 2 }, lasts: false },
  { name: 'answers after 3 s', outcome: '200', fault: slow, lasts: true },
  { name: 'cut off before storing', outcome: 'reset', fault: { kind: 'reset', ...some }, lasts: true },
  { name: 'cut off after storing', outcome: 'answer_lost', fault: { kind: 'answer_lost', ...some }, lasts: true },
]

const posthogAnswers: Fault[] = answers.map(({ name, outcome, fault, lasts }) => ({
  name: `PostHog: ${name}`,
  weight: 1,
  async strike({ posthog }, random) {
    const count = async () => (await posthog.counts()).requests[outcome] ?? 0
    const before = await count()
    const forMs = 3000 + random.below(6000)
    const chance = 'probability' in fault ? { seed: 1 + random.below(1_000_000) } : {}
    await posthog.fault({ ...fault, ...chance, ...(lasts && { forMs }) })
    if (lasts) await sleep(forMs)
    return { happened: true, noticed: await holdsWithin(20_000, async () => (await count()) > before) }
  },
}))

/** What is drawn side by side: one fault of each kind at a time, but for those in the background. */
export const faults: Record<'processes' | 'redis' | 'posthog', readonly Fault[]> = {
  processes: [workerKilled, workerStopped, producerKilled, producerStopped, diskFull],
  redis: [redisKilled, redisFrozen, failedOver, clientsKilled, clientsPaused, redisFull, redisReadOnly, redisHalfOpen],
  posthog: [keyRefused, posthogHalfOpen, posthogSilent, ...posthogAnswers],
}

type Admin = World['redis']['primary']['admin']

async function refusing(
  redis: World['redis'],
  error: 'OOM' | 'READONLY',
  random: Random,
  { begin, end }: Record<'begin' | 'end', (admin: Admin) => Promise<unknown>>,
): Promise<Struck> {
  const { admin } = redis.primary
  const refused = async () =>
    Number(new RegExp(`errorstat_${error}:count=(\\d+)`).exec(await admin.info('errorstats'))?.[1] ?? 0)
  const before = await refused()
  await begin(admin)
  await sleep(3000 + random.below(6000))
  const noticed = (await refused()) > before
  await end(admin)
  return { happened: true, noticed }
}

async function clients({ admin }: World['redis']['primary']): Promise<number> {
  return Number(/^connected_clients:(\d+)/m.exec(await admin.info('clients'))?.[1] ?? 0)
}

async function unanswered({ redis, run }: World): Promise<number> {
  return Number((await redis.primary.admin.hget(keysOf(redis.primary.admin).runKeys(run).answers, 'status|none')) ?? 0)
}

function producedAt({ redis, run }: World): Promise<string | null> {
  return redis.primary.admin.hget(keysOf(redis.primary.admin).runKeys(run).run, 'producedAtMs')
}

/**
 * One that has chunks in hand, as soon as half of them have: where a machine starts them more slowly than they are killed, nothing
 * would ever be in anybody's hand.
 */
async function busyWorker(
  { services, stopped, chunksOf }: World,
  random: Random,
): Promise<HeapferryProcess | undefined> {
  for (const endMs = performance.now() + 20_000; performance.now() < endMs; await sleep(250)) {
    const workers = services.of('worker')
    const inHand = await Promise.all(workers.map(chunksOf))
    const busy = workers.filter((one, nth) => inHand[nth]?.length && !stopped.has(one))
    if (busy.length >= workers.length / 2) return busy[random.below(busy.length)]
  }
  return undefined
}

/** The one that runs; where it has ended, a person starts it once more. */
function aProducerOf({ services, produce }: World): HeapferryProcess {
  const [running] = services.of('producer')
  return running ?? produce()
}

async function killed({ child, ended }: HeapferryProcess): Promise<boolean> {
  if (!child.kill('SIGKILL')) return false
  return (await ended).signal === 'SIGKILL'
}

/** Unlike `until`, an answer either way. */
async function holdsWithin(ms: number, holds: () => boolean | Promise<boolean>): Promise<boolean> {
  const endMs = performance.now() + ms
  while (performance.now() < endMs) {
    if (await holds()) return true
    await sleep(200)
  }
  return false
}
