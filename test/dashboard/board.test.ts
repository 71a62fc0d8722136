import { expect, test } from 'vitest'
import { redisForTests } from '../support/redis.ts'
import { ask, open, seedRun, tallyOf } from './support.ts'

const server = redisForTests()

test('the queues of a run that begins while the board is open appear, and vanish with the run', async () => {
  const url = await open(server.redis)
  expect(await queuesOf(url)).toEqual([])
  const { id } = await seedRun(server.redis, 'newcomer')
  const found = () => queuesOf(url)
  await expect.poll(found, { timeout: 5000 }).toEqual(['newcomer · 1 identities', 'newcomer · 2 events'])
  await server.redis.zrem('heapferry-ledger:runs', id)
  await expect.poll(found, { timeout: 5000 }).toEqual([])
})

test('a chunk is shown as its place, with its progress and a link to its run', async () => {
  const run = await seedRun(server.redis, 'shown')
  const [chunk] = await run.table('clicks', 10, [null])
  if (!chunk) throw new Error('no chunk was planned')
  await run.queue('events').add([{ chunk, title: 'clicks 1' }])
  const job = await run.queue('events').queue.getJob(chunk.id)
  await job?.updateProgress({ progress: 40, rows: 4, of: 10 })
  const url = await open(server.redis)
  const { queues } = JSON.parse((await ask(`${url}/queues/api/queues?activeQueue=shown-events`)).text)
  const queue = queues.find(({ name }: { name: string }) => name === 'shown-events')
  expect(queue.jobs).toMatchObject([
    { name: 'clicks 1', data: chunk, progress: { progress: 40 }, externalUrl: { href: '/runs/shown' } },
  ])
})

const passwords = { operator: 'operator password', viewer: 'viewer password' }

const writes = [
  ['PUT', '/api/queues/pause'],
  ['PUT', '/api/queues/resume'],
  ['PUT', '/api/queues/kept-events/obliterate'],
  ['PUT', '/api/queues/kept-events/empty'],
  ['POST', '/api/queues/kept-events/add'],
  ['PATCH', '/api/queues/kept-events/000000000000-000000/update-data'],
  ['DELETE', '/api/queues/kept-events'],
] as const

test.each(writes)(
  'for those who have not signed in %s %s is refused with 405 and changes nothing',
  async (method, path) => {
    const run = await seedRun(server.redis, 'kept')
    const [chunk] = await run.table('clicks', 10, [null])
    if (!chunk) throw new Error('no chunk was planned')
    await run.queue('events').add([{ chunk, title: 'clicks 1' }])
    const url = await open(server.redis)
    const { status, text } = await ask(`${url}/queues${path}`, { method })
    expect(status).toBe(405)
    expect(JSON.parse(text).error).toContain('operators who have signed in')
    expect(await run.queueState('events')).toEqual({
      waiting: 1,
      active: 0,
      failed: 0,
      paused: false,
      firstFailure: null,
    })
    expect(await run.queue('events').queue.isPaused()).toBe(false)
  },
)

test('an operator who has signed in may empty a queue in Bull Board', async () => {
  const run = await seedRun(server.redis, 'emptied')
  const [chunk] = await run.table('clicks', 10, [null, tallyOf({ read: 10, sent: 10 })])
  if (!chunk) throw new Error('no chunk was planned')
  await run.queue('events').add([{ chunk, title: 'clicks 1' }])
  const url = await open(server.redis, { passwords })
  const asViewer = { method: 'PUT', headers: { authorization: `Bearer ${passwords.viewer}` } }
  expect((await ask(`${url}/queues/api/queues/emptied-events/empty`, asViewer)).status).toBe(405)
  expect((await run.queueState('events')).waiting).toBe(1)
  const asOperator = { method: 'PUT', headers: { authorization: `Bearer ${passwords.operator}` } }
  expect((await ask(`${url}/queues/api/queues/emptied-events/empty`, asOperator)).status).toBe(200)
  expect((await run.queueState('events')).waiting).toBe(0)
})

async function queuesOf(url: string): Promise<string[]> {
  const { queues } = JSON.parse((await ask(`${url}/queues/api/queues`)).text)
  return queues.map(({ displayName }: { displayName: string }) => displayName)
}
