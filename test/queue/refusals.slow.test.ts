import { onceAMinute } from '@heapferry/config'
import { type RedisRefusal, RunId } from '@heapferry/domain'
import { ChunkConsumer, ChunkQueue, connectRedis, redisLedger } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { chunkOf, fileOf } from '../support/chunk.ts'
import { startRedis } from '../support/redis-process.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { type Fault, faults, worker } from './redis-faults.ts'

const run = RunId.parse('refused')
const job = { chunk: chunkOf(run, fileOf('clicks'), 0), title: 'clicks' }

/** A replica without its primary refuses what reads and what writes with different words. */
function toldOnce(told: (RedisRefusal | null)[], { refusal }: Fault): (RedisRefusal | null)[] {
  return refusal === 'no_primary' && told[0] === 'read_only' ? ['read_only', refusal] : [refusal]
}

test.each(faults)('while Redis %s, what is written waits, is told once, and is done afterwards', async (_, fault) => {
  const server = await startRedis(fault.settings)
  const { redis, told } = await worker(server)
  await redis.set('before', '1')
  await fault.begin(server)
  let done = 0
  const counted = async (work: Promise<unknown>) => {
    await work
    done++
  }
  const ledger = redisLedger(redis)
  const queue = new ChunkQueue(redis, run, 'events', () => {})
  onTestFinished(() => queue.close())
  const atMs = Date.now()
  const all = Promise.all([
    counted(redis.hset('run', 'field', 'value')),
    counted(ledger.record(run, { kind: 'created', atMs, by: 'ada' })),
    counted(ledger.addAnswers(run, { byStatus: { 200: 3 }, byTime: [3], totalMs: 9 })),
    counted(ledger.setTransport(run, 'batch', 'asked for')),
    counted(queue.add([job])),
  ])
  await until('it is told', () => told.length > 0)
  // Long enough to be refused more than once.
  await new Promise((resolve) => setTimeout(resolve, 2500))
  expect(done).toBe(0)
  expect(told).toEqual(toldOnce(told, fault))

  await fault.end(server)
  await all
  expect(await redis.hget('run', 'field')).toBe('value')
  expect((await ledger.timeline(run)).map(({ kind }) => kind).toSorted()).toEqual(['created', 'transport_chosen'])
  expect((await ledger.answers(run)).byStatus).toEqual({ 200: 3 })
  expect(await redisLedger(redis).queueState(run, 'events')).toEqual({
    waiting: 1,
    active: 0,
    failed: 0,
    paused: false,
    firstFailure: null,
  })
  await until('it is told that it is over', () => told.at(-1) === null)
  expect(told).toEqual([...toldOnce(told, fault), null])
})

test.each(faults)('while Redis %s, a consumer neither fails a chunk nor says so more than once', async (_, fault) => {
  const server = await startRedis(fault.settings)
  const { redis, told } = await worker(server)
  const errors: Error[] = []
  const queue = new ChunkQueue(redis, run, 'events', () => {})
  await queue.add([job])
  let taken = 0
  const goOn = new AbortController()
  const consumer = new ChunkConsumer({
    redis,
    run,
    phase: 'events',
    concurrency: 4,
    process: async () => {
      taken++
      if (!goOn.signal.aborted) await new Promise((resolve) => goOn.signal.addEventListener('abort', resolve))
      await redis.hset('ledger', 'chunk', 'done')
      return { kind: 'finished' }
    },
    onError: onceAMinute((error) => errors.push(error)),
  })
  onTestFinished(async () => {
    await consumer.close()
    await queue.close()
  })
  await consumer.resume()
  await until('the chunk is taken', () => taken === 1)
  await fault.begin(server)
  goOn.abort()
  await until('it is told', () => told.length > 0)
  await new Promise((resolve) => setTimeout(resolve, 3000))
  expect(told).toEqual(toldOnce(told, fault))
  // Of a Redis that is busy BullMQ reports once that a connection is.
  expect(errors.map(String)).toEqual(fault.refusal === 'busy' ? errors.slice(0, 1).map(String) : [])

  await fault.end(server)
  await until('the chunk is done', async () => {
    const { waiting, active } = await redisLedger(redis).queueState(run, 'events')
    return waiting + active === 0
  })
  expect((await redisLedger(redis).queueState(run, 'events')).failed).toBe(0)
  expect(await redis.hget('ledger', 'chunk')).toBe('done')
})

test('a connection whose other side is silently gone is replaced within 30 s, in work and while waiting for work', async () => {
  const server = await startRedis()
  const proxy = await startTcpProxy(server.port)
  const redis = await connectRedis(
    `redis://127.0.0.1:${proxy.port}`,
    () => {},
    () => {},
  )
  onTestFinished(() => redis.disconnect())
  const queue = new ChunkQueue(redis, run, 'events', () => {})
  let taken = 0
  const consumer = new ChunkConsumer({
    redis,
    run,
    phase: 'events',
    concurrency: 1,
    process: async () => {
      taken++
      return { kind: 'finished' }
    },
    onError: () => {},
  })
  onTestFinished(async () => {
    await consumer.close()
    await queue.close()
  })
  await consumer.resume()
  await queue.add([job])
  await until('the first chunk is taken', () => taken === 1)
  const before = proxy.connections()
  proxy.dropOpen()
  const written = redis.hset('run', 'field', 'value')
  await until('what was written has arrived', async () => (await server.admin.hget('run', 'field')) === 'value', 30_000)
  await written
  await queue.add([{ ...job, chunk: chunkOf(run, fileOf('clicks'), 1) }])
  await until('the next chunk is taken', () => taken === 2, 10_000)
  expect(proxy.connections()).toBeGreaterThan(before)
})

test('while Redis loads its data, who works waits for it and is told, and who looks is told', async () => {
  const before = await startRedis()
  await before.admin.mset(Object.fromEntries(Array.from({ length: 10_000 }, (_, nth) => [`key ${nth}`, 'x'])))
  await before.admin.save()
  // 2 ms a key: 20 s, and answers several times a second meanwhile.
  const slowly = ['--key-load-delay', '2000', '--loading-process-events-interval-bytes', '1024']
  const { url } = await startRedis(['--dir', before.folder, ...slowly])
  const told: (RedisRefusal | null)[] = []
  const looks = connectRedis(url, () => {}).catch((error: unknown) => error)
  const redis = await connectRedis(
    url,
    () => {},
    (refusal) => told.push(refusal),
  )
  onTestFinished(() => redis.disconnect())
  expect(await redis.get('key 1999')).toBe('x')
  expect(told[0]).toBe('loading')
  expect(await looks).toMatchObject({
    refusal: 'loading',
    message: expect.stringContaining('Redis is loading its data'),
  })
})

test('a Redis that has another password when a connection breaks is tried again until it takes the one that is given', async () => {
  const { admin, port } = await startRedis()
  await admin.acl('SETUSER', 'worker', 'on', '>secret', '~*', '&*', '+@all')
  const errors: string[] = []
  const redis = await connectRedis(
    `redis://worker:secret@127.0.0.1:${port}`,
    onceAMinute(({ message }) => errors.push(message)),
    () => {},
  )
  onTestFinished(() => redis.disconnect())
  await admin.acl('SETUSER', 'worker', 'resetpass', '>another')
  let done = false
  // On its way when the connection breaks.
  await admin.client('PAUSE', 60_000, 'WRITE')
  const written = redis.hset('run', 'field', 'value').then(() => (done = true))
  await until('Redis has it', async () => /cmd=hset/.test(String(await admin.client('LIST'))))
  await admin.client('KILL', 'USER', 'worker')
  await admin.client('UNPAUSE')
  const refused = () => errors.filter((message) => message.includes('WRONGPASS'))
  await until('it is told', () => refused().length > 0)
  // Long enough to be refused more than once.
  await new Promise((resolve) => setTimeout(resolve, 2500))
  expect({ done, told: refused().length }).toEqual({ done: false, told: 1 })
  await admin.acl('SETUSER', 'worker', '>secret')
  await written
})
