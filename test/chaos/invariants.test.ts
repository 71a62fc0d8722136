import { RunId, type SentSlice } from '@heapferry/domain'
import { type Redis, redisLedger } from '@heapferry/queue'
import { expect, test } from 'vitest'
import { keysOf } from '../../packages/queue/src/keys.ts'
import { rejectedRow, tally } from '../queue/chunk-ledger-contract.ts'
import { chunkOf, fileOf } from '../support/chunk.ts'
import { redisForTests } from '../support/redis.ts'
import { watchInvariants } from './invariants.ts'

const server = redisForTests()
const file = fileOf('clicks')
const { queueKeys, runKeys } = keysOf({ isCluster: false })
const keys = runKeys(RunId.parse('watched'))
const chunk = chunkOf(RunId.parse('watched'), file, 0)

test('a ledger that was only committed to is right at every look', async () => {
  const { watch, commit } = await watched()
  expect(await watch.look(server.redis)).toEqual([])
  await commit(6)
  expect(await watch.look(server.redis)).toEqual([])
  expect(watch.rowsRead).toBe(10)
})

test.each<[string, RegExp, (redis: Redis, keys: ReturnType<typeof runKeys>) => Promise<unknown>]>([
  ['a total', /totals of clicks, sent: 4 and 3/, (redis, { totals }) => redis.hincrby(totals, 'sent|clicks', 1)],
  [
    'a reason',
    /totals of clicks, rejected, missing_time/,
    (redis, { totals }) => redis.hdel(totals, 'rejected.missing_time|clicks'),
  ],
  [
    'rows of a file',
    /rows of clicks.csv and of its checkpoints/,
    (redis, { fileRows }) => redis.hincrby(fileRows, file.id, 1),
  ],
  ['events of a day', /events of clicks by day and rows sent/, (redis, { sent }) => redis.del(sent)],
  [
    'a rejected row',
    /rejected rows of \S+, listed and counted, missing_time: 0 and 1/,
    (redis, { rejected }) => redis.del(rejected),
  ],
  ['rows of the run', /^rows read: 5 and 4/, (redis, { run }) => redis.hincrby(run, 'rowsRead', 1)],
  ['planned rows', /planned rows of clicks/, (redis, { totals }) => redis.hincrby(totals, 'rows|clicks', 1)],
  ['planned chunks', /chunks planned in events/, (redis, { totals }) => redis.hincrby(totals, 'planned|events', 1)],
  ['chunks that are done', /chunks done in events/, (redis, { totals }) => redis.hincrby(totals, 'done|events', 1)],
  [
    'a checkpoint',
    /went back from/,
    async (redis, { checkpoints }) => {
      const stored = JSON.parse((await redis.hget(checkpoints, chunk.id)) ?? '')
      return redis.hset(checkpoints, chunk.id, JSON.stringify({ ...stored, cursor: 1 }))
    },
  ],
  ['no checkpoint', /is gone/, (redis, { checkpoints }) => redis.del(checkpoints)],
])('%s that somebody has put wrong is told', async (_, told, wrong) => {
  const { watch } = await watched()
  expect(await watch.look(server.redis)).toEqual([])
  await wrong(server.redis, keys)
  expect((await watch.look(server.redis)).join('\n')).toMatch(new RegExp(told.source, 'm'))
})

/** Four rows of ten have ended, one of them rejected. */
async function watched() {
  const { redis } = server
  await redis.flushall()
  const ledger = redisLedger(redis)
  await ledger.addFile(chunk.run, file)
  await ledger.planChunks(chunk.run, [chunk])
  await ledger.planFile(chunk.run, file, { chunks: 1, rows: 10 })
  await redis.set(queueKeys(chunk.run, 'events').lock(chunk.id), 'mine')
  const claim = { chunk, file, token: 'mine' }
  const first = { ...tally(4), sent: 3, rejected: { missing_time: 1 } }
  await ledger.commit(claim, { cursor: 40, tally: first, done: false }, [rejectedRow(chunk, 2)], days(3, 0))
  return {
    watch: watchInvariants(chunk.run),
    commit: (rows: number) =>
      ledger.commit(
        claim,
        { cursor: 100, tally: { ...first, read: 4 + rows, sent: 3 + rows }, done: true },
        [],
        days(rows, 40),
      ),
  }
}

function days(count: number, from: number): SentSlice {
  return { from, counts: [{ event: 'Clicked', day: 19_583, count }] }
}
