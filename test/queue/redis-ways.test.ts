import { redisLedger } from '@heapferry/queue'
import { expect, test } from 'vitest'
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

const ledgerKeys =
  'answers checkpoints chunks file-rows files history pace plans pulses samples timeline totals waiting'.split(' ')
