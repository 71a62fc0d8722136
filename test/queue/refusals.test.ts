import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { OperatorError, RedisRefused, RunId } from '@heapferry/domain'
import { ChunkConsumer, ChunkQueue, connectRedis, redisLedger } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { chunkOf, fileOf } from '../support/chunk.ts'
import { temporaryFolder } from '../support/folder.ts'
import { startRedis } from '../support/redis-process.ts'
import { until } from '../support/until.ts'
import { faults, worker } from './redis-faults.ts'

const run = RunId.parse('refused')
const job = { chunk: chunkOf(run, fileOf('clicks'), 0), title: 'clicks' }

test.each(faults.filter(([, { isReadable = true }]) => isReadable))(
  'while Redis %s, whoever looks reads on and sees it, and whoever changes something is told',
  async (_, fault) => {
    const server = await startRedis(fault.settings)
    await worker(server)
    const redis = await connectRedis(`redis://worker:secret@127.0.0.1:${server.port}`, () => {})
    onTestFinished(() => redis.disconnect())
    expect(await redisLedger(redis).queueState(run, 'events')).not.toHaveProperty('refusal')
    await fault.begin(server)
    expect(await redisLedger(redis).queueState(run, 'events')).toMatchObject({ waiting: 0, refusal: fault.refusal })
    const change = redisLedger(redis).setIntent(run, { kind: 'run', by: 'ada', acceptedTables: [] })
    const error: unknown = await change.catch((refused: unknown) => refused)
    expect(error).toBeInstanceOf(RedisRefused)
    expect(error).toMatchObject({ refusal: fault.refusal })
    await fault.end(server)
    expect(await redisLedger(redis).queueState(run, 'events')).not.toHaveProperty('refusal')
  },
)

test('a Sentinel is told from a Redis, with how to find the one that it watches', async () => {
  const folder = await temporaryFolder()
  const file = path.join(folder, 'sentinel.conf')
  await writeFile(file, '')
  const { url } = await startRedis([], [file, '--sentinel'])
  const refused = await connectRedis(url, () => {}).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(OperatorError)
  expect(refused).toMatchObject({
    message: `${new URL(url).host} is a Sentinel, which holds no data`,
    hint: expect.stringContaining('get-master-addr-by-name'),
  })
})

test.each<[string, string[], RegExp, RegExp]>([
  ['a cluster without slots', ['--cluster-enabled', 'yes'], /Redis Cluster[^]*cluster_state:fail/, /CLUSTER INFO/],
  ['a replica', ['--replicaof', '127.0.0.1 1'], /read-only replica/, /REDIS_URL/],
  ['a Redis that evicts', ['--maxmemory-policy', 'allkeys-lru'], /may throw away/, /noeviction/],
])('%s is refused by a worker with what to do, before it touches anything', async (_, settings, problem, hint) => {
  const { url } = await startRedis(settings)
  const refused = await connectRedis(
    url,
    () => {},
    () => {},
  ).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(OperatorError)
  expect(refused).toMatchObject({ message: expect.stringMatching(problem), hint: expect.stringMatching(hint) })
})

test.each(['-info', '-eval', '-evalsha', '-@write', 'resetkeys', '-exists -ping'])(
  'a user whose rights end with %s is refused with the command that gives them',
  async (rights) => {
    const { port, admin } = await startRedis()
    await admin.acl('SETUSER', 'worker', 'on', '>secret', '~*', '&*', '+@all', ...rights.split(' '))
    const refused = await connectRedis(
      `redis://worker:secret@127.0.0.1:${port}`,
      () => {},
      () => {},
    ).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(OperatorError)
    expect(refused).toMatchObject({
      message: expect.stringContaining('forbids'),
      hint: expect.stringContaining('ACL SETUSER'),
    })
  },
)

test('the rights that the hint gives are enough for a producer and a consumer', async () => {
  const { port, admin } = await startRedis()
  const rights = ['~heapferry*', '+@all', '-@dangerous', '+info']
  await admin.acl('SETUSER', 'worker', 'on', '>secret', ...rights)
  const told: unknown[] = []
  const redis = await connectRedis(
    `redis://worker:secret@127.0.0.1:${port}`,
    (e) => told.push(e),
    (r) => told.push(r),
  )
  onTestFinished(() => redis.disconnect())
  const queue = new ChunkQueue(redis, run, 'events', (error) => told.push(error))
  await queue.add([job])
  const consumer = new ChunkConsumer({
    redis,
    run,
    phase: 'events',
    concurrency: 1,
    process: async () => ({ kind: 'finished' }),
    onError: (error) => told.push(error),
  })
  await consumer.resume()
  await until('it is done', async () => (await redisLedger(redis).queueState(run, 'events')).waiting === 0)
  await consumer.close()
  await queue.resume()
  await queue.removeFailed()
  await queue.remove()
  await queue.close()
  expect(told).toEqual([])
})

test('a connection that breaks while it is set up is made anew, and ends no process', async () => {
  const server = await startRedis()
  const redis = await connectRedis(
    server.url,
    () => {},
    () => {},
  )
  onTestFinished(() => redis.disconnect())
  if (!('stream' in redis)) throw new Error('it is no cluster')
  let broken = false
  const before = redis.stream
  const breakFirst = (): void => {
    // Not a turn of the event loop later, in which it may have connected.
    if (redis.stream === before) queueMicrotask(() => process.nextTick(breakFirst))
    // Before ioredis, which then finds a stream that takes nothing.
    else
      redis.stream.prependOnceListener('connect', () => {
        broken = true
        redis.stream.end()
      })
  }
  redis.once('connecting', breakFirst)
  // A Redis before 7.2 refuses what ioredis says of itself there: whoever forgets an answer would have it unhandled.
  const unhandled: unknown[] = []
  const listener = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', listener)
  onTestFinished(() => void process.off('unhandledRejection', listener))
  redis.disconnect(true)
  await until('it was broken', () => broken, 10_000)
  expect(await redis.ping()).toBe('PONG')
  await new Promise((resolve) => setImmediate(resolve))
  expect(unhandled).toEqual([])
})
