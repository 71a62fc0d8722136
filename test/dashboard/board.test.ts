import { expect, test } from 'vitest'
import { redisForTests } from '../support/redis.ts'
import { ask, open, runWithFailedChunk, seedRun } from './support.ts'

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

const asOperator = { authorization: 'Bearer operator password' }
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

test.each(writes)('for operators too %s %s is refused with 405 and changes nothing', async (method, path) => {
  const run = await seedRun(server.redis, 'kept')
  const [chunk] = await run.table('clicks', 10, [null])
  if (!chunk) throw new Error('no chunk was planned')
  await run.queue('events').add([{ chunk, title: 'clicks 1' }])
  const url = await open(server.redis, { passwords })
  const { status, text } = await ask(`${url}/queues${path}`, { method, headers: asOperator })
  expect(status).toBe(405)
  expect(JSON.parse(text).error).toContain('only shows and retries')
  const untouched = { waiting: 1, active: 0, failed: 0, paused: false, firstFailure: null }
  expect(await run.queueState('events')).toEqual(untouched)
  expect(await run.queue('events').queue.isPaused()).toBe(false)
})

test.each([
  ['one failed chunk', (id: string) => `${id}/retry`],
  ['all failed chunks', () => 'retry/failed'],
])('an operator who has signed in may have %s tried again, which the timeline tells', async (what, address) => {
  const name = what.startsWith('one') ? 'again-one' : 'again-all'
  const { run, chunk } = await runWithFailedChunk(server, name)

  const url = await open(server.redis, { passwords })
  const path = `${url}/queues/api/queues/${name}-events/${address(chunk.id)}`
  const asViewer = { authorization: `Bearer ${passwords.viewer}` }
  expect((await ask(path, { method: 'PUT', headers: asViewer })).status).toBe(405)
  expect((await run.queueState('events')).failed).toBe(1)
  expect((await ask(path, { method: 'PUT', headers: asOperator })).status).toBeLessThan(300)
  expect(await run.queueState('events')).toMatchObject({ waiting: 1, failed: 0 })
  const told = {
    kind: 'chunks_retried',
    by: 'operator (token)',
    phase: 'events',
    ...(what.startsWith('one') && { chunk: chunk.id }),
  }
  expect((await run.ledger.timeline(run.id)).slice(1)).toEqual([{ ...told, atMs: expect.any(Number) }])

  expect((await ask(path, { method: 'PUT', headers: asOperator })).status).toBe(409)
  expect(await run.ledger.timeline(run.id)).toHaveLength(2)
})

test('on the page of a run that has failed, its failed chunks are tried again, and it is not paused', async () => {
  const { run } = await runWithFailedChunk(server, 'again-page')
  for (const phase of ['identities', 'events'] as const)
    await run.ledger.seal(run.id, phase, phase === 'events' ? 1 : 0)
  const url = await open(server.redis, { passwords })
  const page = async () => (await ask(`${url}/runs/again-page`, { headers: asOperator })).text
  expect([...(await page()).matchAll(/href="\/runs\/again-page\/([a-z]+)">[^<]*…/g)].map(([, name]) => name)).toEqual([
    'again',
    'pace',
    'cancel',
  ])
  const again = () => ask(`${url}/runs/again-page/again`, { method: 'POST', headers: asOperator })
  expect((await again()).status).toBe(303)
  expect(await run.queueState('events')).toMatchObject({ waiting: 1, failed: 0 })
  expect((await run.ledger.timeline(run.id)).at(-1)).toMatchObject({ kind: 'chunks_retried', by: 'operator (token)' })
  expect(await page()).not.toContain('/again-page/again')
  expect((await again()).status).toBe(409)
})

test('its pages load nothing from another host', async () => {
  const url = await open(server.redis)
  const { text } = await ask(`${url}/queues/`)
  const loaded = [...text.matchAll(/<(?:link|script|img)\b[^>]*?(?:href|src)="([^"]*)"/g)].map(
    ([, address = '']) => address,
  )
  expect(loaded.some((address) => address.endsWith('.css')) && loaded.some((address) => address.endsWith('.js'))).toBe(
    true,
  )
  for (const address of loaded) {
    const { origin, href } = new URL(address, `${url}/queues/`)
    expect([address, origin]).toEqual([address, url])
    if (!href.endsWith('.css')) continue
    expect((await ask(href)).text).not.toMatch(/@import|url\(["']?(?:https?:)?\/\//)
  }
  expect(text).not.toContain('googleapis')
})

async function queuesOf(url: string): Promise<string[]> {
  const { queues } = JSON.parse((await ask(`${url}/queues/api/queues`)).text)
  return queues.map(({ displayName }: { displayName: string }) => displayName)
}
