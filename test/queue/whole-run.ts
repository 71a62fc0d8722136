import { OperatorError, RunId } from '@heapferry/domain'
import { ChunkConsumer, ChunkQueue, connectRedis, type Redis, redisLedger, redisPacer } from '@heapferry/queue'
import { expect, onTestFinished } from 'vitest'
import { chunkOf, fileOf, runOf } from '../support/chunk.ts'
import { until } from '../support/until.ts'

export const run = RunId.parse('ways')
/** As the documentation gives them. */
export const rights = ['~heapferry*', '+@all', '-@dangerous', '+info']

const pulse = {
  worker: 'host:1',
  atMs: 5000,
  startedAtMs: 1,
  memoryBytes: 2,
  rate: 3,
  chunks: [],
  movedAtMs: 4000,
  awaits: null,
}
const file = fileOf('clicks')
/** The one of the run. */
export const chunk = chunkOf(run, file, 0)

/** All that reaches Redis of a run of one chunk: what must be in one slot of a cluster, and what a user must have the right to. */
export async function works(redis: Redis): Promise<void> {
  const ledger = redisLedger(redis)
  const errors: unknown[] = []
  const onError = (error: Error) => errors.push(error)
  const queue = new ChunkQueue(redis, run, 'events', onError)
  await ledger.createRun(runOf(run), 'ada')
  await ledger.addFile(run, file)
  await ledger.planChunks(run, [chunk])
  await queue.add([{ chunk, title: 'clicks' }])
  await ledger.planFile(run, file, { chunks: 1, rows: chunk.rows })
  expect(await queue.known([chunk.id])).toEqual(new Set([chunk.id]))
  expect((await ledger.runs()).map(({ id }) => id)).toEqual([run])
  const pacer = redisPacer(redis, run, 100)
  expect(
    await pacer.take([{ uuid: 'u', distinct_id: 'a', json: new Uint8Array() }], new AbortController().signal),
  ).toBe(1)
  await ledger.setTransport(run, 'batch', 'asked for')
  await ledger.addAnswers(run, { byStatus: { 200: 1 }, byTime: [1], totalMs: 1 })
  await ledger.setWaiting(run, 'host:1', { sinceMs: 0, retryAtMs: 0, detail: 'slow' })
  await ledger.setPulse(run, pulse)
  expect(await ledger.pulses(run)).toMatchObject([{ worker: 'host:1' }])
  let taken = 0
  const consumer = new ChunkConsumer({
    redis,
    run,
    phase: 'events',
    concurrency: 1,
    onError,
    process: async ({ token }) => {
      taken++
      const sent = { from: 0, counts: [] }
      const tally = { read: chunk.rows, sent: chunk.rows, skipped: {}, rejected: {}, warned: {} }
      const checkpoint = { cursor: 10, tally, done: true }
      const committed = await ledger.commit({ chunk, file, token, runCreatedAtMs: undefined }, checkpoint, [], sent)
      expect(committed).toMatchObject({ kind: 'committed' })
      return { kind: 'finished' }
    },
  })
  await consumer.resume()
  await until('it is taken and done', async () => {
    const { waiting, active } = await ledger.queueState(run, 'events')
    return taken === 1 && waiting + active === 0
  })
  await consumer.close()
  expect(await ledger.seal(run, 'events', 1)).toBe(true)
  expect((await ledger.progress(run)).phases).toContainEqual({ phase: 'events', sealed: true, planned: 1, done: 1 })
  await queue.close()
  expect(errors).toEqual([])
}

export async function connected(url: string): Promise<Redis> {
  const told: unknown[] = []
  const redis = await connectRedis(
    url,
    (error) => told.push(error),
    (refusal) => told.push(refusal),
  )
  onTestFinished(() => {
    redis.disconnect()
    expect(told).toEqual([])
  })
  return redis
}

export async function refusalTo(url: string): Promise<OperatorError> {
  const refused: unknown = await connectRedis(url, () => {}).catch((error: unknown) => error)
  if (refused instanceof OperatorError) return refused
  throw new Error('it was not refused')
}
