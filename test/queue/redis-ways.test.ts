import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { connectRedis, redisLedger } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { startRedis } from '../support/redis-process.ts'
import { chunk, connected, refusalTo, rights, run, works } from './whole-run.ts'

test('in a Redis that is no cluster a run has the keys that it always had: one that an older version began goes on', async () => {
  const { admin, url } = await startRedis()
  const redis = await connected(url)
  await works(redis)
  const { queueState, run: stored } = redisLedger(redis)
  expect(await stored(run)).toMatchObject({ id: run })
  const lasting = (await admin.keys('*')).filter((key) => !/pace-log$|stalled-check$/.test(key))
  expect(lasting.toSorted()).toEqual(
    [
      'heapferry-ledger:run:ways',
      ...ledgerKeys.map((key) => `heapferry-ledger:run:ways:${key}`),
      'heapferry-ledger:runs',
      ...[chunk.id, 'completed', 'events', 'id', 'meta'].map((key) => `heapferry:ways-events:${key}`),
    ].toSorted(),
  )
  // As an older version leaves a chunk that it had not done.
  await admin.hset('heapferry:ways-events:meta', 'paused', '1')
  expect(await queueState(run, 'events')).toMatchObject({ paused: true })
})

test.each([
  ['renamed', ['--rename-command', 'CONFIG', '']],
  ['forbidden', []],
])('where CONFIG is %s, eviction is told by INFO, and refused all the same', async (_, settings) => {
  const start = async (...more: string[]) => {
    const server = await startRedis([...settings, ...more])
    await server.admin.acl('SETUSER', 'worker', 'on', '>secret', ...rights)
    return `redis://worker:secret@127.0.0.1:${server.port}`
  }
  expect(await refusalTo(await start('--maxmemory-policy', 'allkeys-lru'))).toMatchObject({
    message: expect.stringContaining('may throw away'),
  })
  await works(await connected(await start()))
})

test('a Redis that tells nowhere whether it evicts is used all the same, and that is said', async () => {
  const { port } = await startRedis(['--rename-command', 'CONFIG', ''])
  const told: string[] = []
  const redis = await connectRedis(`redis://127.0.0.1:${await withoutPolicy(port)}`, ({ message }) =>
    told.push(message),
  )
  onTestFinished(() => redis.disconnect())
  expect(told).toEqual([expect.stringContaining('tells its maxmemory-policy neither by INFO nor by CONFIG')])
  expect(await redis.exists('heapferry-ledger:runs')).toBe(0)
})

/** Stands before a Redis as a managed service does whose INFO has fewer fields. It ends with the test. */
async function withoutPolicy(redisPort: number): Promise<number> {
  const proxy = createServer((client) => {
    const upstream = connect(redisPort, '127.0.0.1')
    client.pipe(upstream)
    // Of the same length, so that the answer stays one.
    upstream.on('data', (data) =>
      client.write(data.toString('latin1').replace('maxmemory_policy:', 'something_unknow:')),
    )
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.on('close', () => upstream.destroy())
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  onTestFinished(() => void proxy.close())
  const address = proxy.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

const ledgerKeys =
  'answers checkpoints chunks file-rows files history pace plans pulses samples timeline totals waiting'.split(' ')
