import { type Chunk, type ChunkOutcome, OperatorError, type Phase, RunId } from '@heapferry/domain'
import { ChunkConsumer, type ChunkJob, ChunkQueue, redisLedger } from '@heapferry/queue'
import { afterEach, expect, test, vi } from 'vitest'
import { chunkOf, fileOf } from '../support/chunk.ts'
import { redisForTests } from '../support/redis.ts'
import { setClock } from '../support/set-clock.ts'
import { until } from '../support/until.ts'

const server = redisForTests()
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

test('a chunk that is enqueued twice is processed once', async () => {
  const { queue, consume, jobOf, state } = await workplace()
  await queue.add([jobOf(0), jobOf(1)])
  await queue.add([jobOf(0), jobOf(1)])
  const taken = await consume(() => ({ kind: 'finished' }))
  await until('the queue is empty', async () => (await state()).waiting === 0 && taken.length === 2)
  expect(taken.map(({ chunk }) => chunk.id).toSorted()).toEqual([jobOf(0).chunk.id, jobOf(1).chunk.id])
})

test('an interrupted chunk goes back to waiting and spends no attempt', async () => {
  const { queue, consume, jobOf, state } = await workplace()
  await queue.add([jobOf(0)])
  const taken = await consume(() => ({ kind: 'interrupted' }))
  await until('the chunk waits again', async () => taken.length === 1 && (await state()).waiting === 1)
  const [job] = await queue.queue.getPrioritized()
  expect(job).toMatchObject({ attemptsMade: 0, data: { id: jobOf(0).chunk.id } })
  expect(await state()).toEqual({ waiting: 1, active: 0, failed: 0, paused: false, firstFailure: null })
})

test('a chunk that nobody planned fails at once, and says why', async () => {
  const { queue, consume, jobOf, state } = await workplace()
  await queue.add([jobOf(0)])
  const taken = await consume(() => ({ kind: 'not_planned' }))
  await until('the chunk has failed', async () => (await state()).failed === 1)
  expect(taken.length).toBe(1)
  expect((await state()).firstFailure).toContain('the chunk is not one that was planned')
})

test('closing hands chunks back after their current batch, and they are there for others', async () => {
  const { queue, consume, jobOf, consumer, state } = await workplace()
  await queue.add([jobOf(0)])
  const taken = await consume(
    (_, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve({ kind: 'interrupted' }))),
  )
  await until('the chunk is taken', () => taken.length === 1)
  await consumer().close()
  expect(await state()).toEqual({ waiting: 1, active: 0, failed: 0, paused: false, firstFailure: null })
})

test('a chunk is in work while a worker holds its lock, and waits once that has run out', async () => {
  const { queue, consume, jobOf, state } = await workplace()
  await queue.add([jobOf(0)])
  const looked = new AbortController()
  const taken = await consume(
    () => new Promise((resolve) => looked.signal.addEventListener('abort', () => resolve({ kind: 'finished' }))),
  )
  await until('the chunk is taken', () => taken.length === 1)
  expect(await state()).toMatchObject({ waiting: 0, active: 1 })
  // As when the worker has died and nobody looks for its chunks yet.
  await server.redis.del(`heapferry:${jobOf(0).chunk.run}-events:${jobOf(0).chunk.id}:lock`)
  expect(await state()).toMatchObject({ waiting: 1, active: 0 })
  looked.abort()
})

test('a queue that was paused by BullMQ says so, and is resumed', async () => {
  const { queue, consume, jobOf, state } = await workplace()
  await queue.add([jobOf(0)])
  await queue.queue.pause()
  const taken = await consume(() => ({ kind: 'finished' }))
  expect(await state()).toMatchObject({ waiting: 1, paused: true })
  await queue.resume()
  await until('the chunk is taken', () => taken.length === 1)
  expect(await state()).toMatchObject({ paused: false })
})

test('a paused consumer takes nothing until it is resumed', async () => {
  const { queue, consume, jobOf, consumer } = await workplace()
  const taken = await consume(() => ({ kind: 'finished' }))
  await consumer().pause()
  await queue.add([jobOf(0)])
  expect(taken).toEqual([])
  await consumer().resume()
  await until('the chunk is taken', () => taken.length === 1)
})

test('the oldest days are taken first', async () => {
  const { queue, consume, jobOf } = await workplace()
  await queue.add([jobOf(0, { day: 19_500 }), jobOf(1, { day: 17_000 }), jobOf(2, { day: 18_000 })])
  const taken = await consume(() => ({ kind: 'finished' }))
  await until('all are taken', () => taken.length === 3)
  expect(taken.map(({ chunk }) => chunk.day)).toEqual([17_000, 18_000, 19_500])
})

test('a job that is no chunk of this run fails for good instead of being worked on', async () => {
  const { queue, consume, jobOf, state } = await workplace()
  const { chunk } = jobOf(0)
  await queue.queue.add('forged', { ...chunk, run: 'another' }, { jobId: chunk.id, attempts: 5 })
  await queue.queue.add('garbage', { path: '/etc/passwd' }, { jobId: 'garbage', attempts: 5 })
  const taken = await consume(() => ({ kind: 'finished' }))
  await until('both have failed', async () => (await state()).failed === 2)
  expect(taken).toEqual([])
  expect((await state()).firstFailure).toContain('not a chunk of this run')
})

test('nothing that an error quotes from a row is shown in Bull Board, and what the system says is', async () => {
  const { queue, consume, jobOf, state } = await workplace()
  const failures = [
    new TypeError("Cannot read 'jane@example.com' of a row"),
    Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' }),
    new Error('10 rows were planned, 9 were read'),
  ]
  for (const [index] of failures.entries()) {
    await queue.queue.add('clicks', jobOf(index).chunk, { jobId: jobOf(index).chunk.id, attempts: 1 })
  }
  await consume(({ chunk }) => {
    throw failures[failures.findIndex((_, index) => jobOf(index).chunk.id === chunk.id)] ?? new Error('unknown chunk')
  })
  await until('all have failed', async () => (await state()).failed === failures.length)
  const jobs = await queue.queue.getFailed()
  expect(JSON.stringify(jobs)).not.toContain('jane')
  expect(jobs.map(({ failedReason }) => failedReason).toSorted()).toEqual([
    '10 rows were planned, 9 were read',
    'EIO: i/o error, read',
    expect.stringMatching(/^TypeError in chunk-queue\.test\.ts:\d+; the log of the worker tells more$/),
  ])
})

test('a chunk is tried again within seconds, also by a worker whose clock is an hour ahead of the others', async () => {
  const { queue, consume, jobOf } = await workplace()
  await queue.add([jobOf(0)])
  const taken = await consume(() => {
    if (taken.length > 1) return { kind: 'finished' }
    setClock(3_600_000)
    throw new Error('disk on fire')
  })
  await until('it has failed once', () => taken.length === 1)
  // What another worker goes by.
  vi.useRealTimers()
  await until('it is taken again', () => taken.length === 2)
})

test('a failed chunk that is forgotten and added again has all its attempts again', async () => {
  const { queue, consume, jobOf, state } = await workplace()
  await queue.queue.add('clicks', jobOf(0).chunk, { jobId: jobOf(0).chunk.id, attempts: 1 })
  let broken = true
  const taken = await consume(() => {
    if (broken) throw new Error('disk on fire')
    return { kind: 'finished' }
  })
  await until('it has failed', async () => (await state()).failed === 1)
  expect((await state()).firstFailure).toBe('clicks: disk on fire')
  broken = false
  await queue.removeFailed()
  await queue.add([jobOf(0)])
  await until('it is taken again', async () => taken.length === 2 && (await state()).failed === 0)
})

test('the state of a queue counts as BullMQ itself does, whatever its jobs are in', async () => {
  const { queue, jobOf, consume, state } = await workplace()
  await queue.queue.pause()
  await queue.add([0, 1, 2, 3].map((index) => jobOf(index)))
  await queue.queue.add('later', jobOf(4).chunk, { jobId: jobOf(4).chunk.id, delay: 60_000 })
  await queue.queue.add('plain', jobOf(5).chunk, { jobId: jobOf(5).chunk.id })
  const both = async () => {
    const { prioritized = 0, waiting = 0, delayed = 0, active = 0, failed = 0 } = await queue.queue.getJobCounts()
    return [await state(), { waiting: waiting + prioritized + delayed, active, failed }] as const
  }
  const [paused, bullPaused] = await both()
  expect(paused).toMatchObject(bullPaused)
  await queue.queue.resume()
  const held = new AbortController()
  const taken = await consume(({ chunk }) => {
    if (chunk.id === jobOf(1).chunk.id)
      return new Promise((resolve) => held.signal.addEventListener('abort', () => resolve({ kind: 'finished' })))
    throw new OperatorError('no', 'no')
  })
  await until('one is held, after others failed', () => taken.some(({ chunk }) => chunk.id === jobOf(1).chunk.id))
  const [running, bullRunning] = await both()
  expect(running).toMatchObject(bullRunning)
  expect(bullRunning.active).toBe(1)
  held.abort()
})

test('a job is smaller than 2 KB and names places only', async () => {
  const { queue, jobOf } = await workplace()
  await queue.add([jobOf(0)])
  const [job] = await queue.queue.getPrioritized()
  expect(JSON.stringify(job?.data).length).toBeLessThan(2048)
  expect(Object.keys(job?.data ?? {}).toSorted()).toEqual(['day', 'file', 'firstRow', 'id', 'range', 'rows', 'run'])
})

let runs = 0

async function workplace(phase: Phase = 'events') {
  const run = RunId.parse(`queue-${++runs}`)
  const file = fileOf('clicks')
  const queue = new ChunkQueue(server.redis, run, phase, () => {})
  closing.push(() => queue.close())
  let open: ChunkConsumer | undefined
  return {
    queue,
    state: () => redisLedger(server.redis).queueState(run, phase),
    jobOf: (index: number, changes: Partial<Chunk> = {}) => ({
      chunk: { ...chunkOf(run, file, index), ...changes },
      title: 'clicks',
    }),
    consumer: () => {
      if (!open) throw new Error('nothing consumes yet')
      return open
    },
    async consume(process: (job: ChunkJob, signal: AbortSignal) => ChunkOutcome | Promise<ChunkOutcome>) {
      const taken: ChunkJob[] = []
      const consumer = new ChunkConsumer({
        redis: server.redis,
        run,
        phase,
        concurrency: 1,
        process: async (job, signal) => {
          taken.push(job)
          return process(job, signal)
        },
        onError: () => {},
      })
      open = consumer
      closing.unshift(() => consumer.close())
      await consumer.resume()
      return taken
    },
  }
}
