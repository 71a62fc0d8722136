import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { createLogger } from '@heapferry/config'
import { startDashboard } from '@heapferry/dashboard'
import { readRunStatus } from '@heapferry/migration'
import { ChunkConsumer, connectRedis, openPrivateRedis } from '@heapferry/queue'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { redisForTests } from '../support/redis.ts'
import { serverCandidates } from '../support/server-candidates.ts'
import { ask, open, optionsOf, seedRun, tallyOf } from './support.ts'

const server = redisForTests()
const planted = '<script>alert(1)</script>'

test('the JSON of a run is what the ledger says', async () => {
  const run = await seedRun(server.redis, 'equal')
  await run.table('users', 10, [tallyOf({ read: 10, sent: 10 })])
  await run.table('clicks', 30, [tallyOf({ read: 10, sent: 8, rejected: { missing_time: 2 } }), null])
  const url = await open(server.redis)
  const status = await readRunStatus(run.id, run.ledger)
  expect(JSON.parse((await ask(`${url}/api/runs/equal`)).text)).toEqual(status)
  expect(status.totals).toMatchObject({ planned: 40, read: 20, sent: 18, rejected: 2 })
})

test('the page of a run says how far it is, table by table, and why rows were left out', async () => {
  const run = await seedRun(server.redis, 'told', { source: '/exports/heap' })
  const warned = { person_processing_disabled: 7 }
  const tally = tallyOf({
    read: 12_345,
    sent: 12_000,
    skipped: { held_back: 300 },
    rejected: { damaged_id: 45 },
    warned,
  })
  await run.table('clicks', 24_690, [tally, null])
  await run.ledger.setTransport(run.id, 'batch', 'v1 is not there')
  const text = textOf((await ask(`${await open(server.redis)}/runs/told`)).text)
  expect(text).toContain('50% 12,345 of 24,690 rows')
  expect(text).toContain('clicks 24,690 12,345 12,000 300 45')
  expect(text).toContain('45 damaged_id')
  expect(text).toContain('300 held_back')
  expect(text).toContain('7 person_processing_disabled Stored, but without updating the person')
  expect(text).toContain('sent with batch: PostHog answers for whole requests')
  expect(text).toContain('heapferry rejected told')
  expect(text).toContain('Source /exports/heap')
})

test('nothing that comes from an export or from Redis becomes markup', async () => {
  const run = await seedRun(server.redis, 'planted', { source: `"><img src=x onerror='alert(1)'>` })
  await run.table(planted, 10, [tallyOf({ read: 10, rejected: { missing_time: 10 } }), null])
  await run.ledger.setIntent(run.id, { kind: 'pause', by: planted, reason: planted, hint: planted })
  const url = await open(server.redis)
  for (const page of ['/', '/runs/planted', `/runs/${encodeURIComponent(planted)}`]) {
    const { text } = await ask(url + page)
    expect(text).toContain('&lt;script&gt;alert(1)')
    expect(text).not.toMatch(/<script>|<img/)
  }
  expect((await ask(`${url}/runs/planted`)).text).toContain('&quot;&gt;&lt;img src=x onerror=&#39;alert(1)&#39;&gt;')
})

test('an entry of the timeline that cannot be read is a line of the page, and breaks it not', async () => {
  const run = await seedRun(server.redis, 'scarred')
  await server.redis.rpush('heapferry-ledger:run:scarred:timeline', '{"kind":"pace_changed","atMs":5,"to":""}')
  const { status, text } = await ask(`${await open(server.redis)}/runs/${run.id}`)
  expect(status).toBe(200)
  expect(textOf(text)).toContain('an entry that cannot be read: {&quot;kind&quot;:&quot;pace_changed&quot;')
})

test('phases are as far as the rows of their tables are, and one without any has nothing to do', async () => {
  const run = await seedRun(server.redis, 'phased')
  await run.table('clicks', 30, [tallyOf({ read: 10, sent: 10 }), null])
  await run.table('taps', 70, [tallyOf({ read: 40, sent: 40 }), null])
  await run.ledger.seal(run.id, 'identities', 0)
  const url = await open(server.redis)
  const text = textOf((await ask(`${url}/runs/phased`)).text)
  expect(text).toContain('1. people and identities nothing to do 2. events 50 of 100 rows, more are being cut')
  expect(JSON.parse((await ask(`${url}/api/runs/phased`)).text).phases[1]).toMatchObject({
    rows_planned: 100,
    rows_read: 50,
  })
})

test('files are listed by table and by state, a hundred at a time', async () => {
  const run = await seedRun(server.redis, 'filed')
  for (let index = 0; index < 120; index++) await run.table('clicks', 10, [tallyOf({ read: 10, sent: 10 })])
  await run.table('taps', 10, [null])
  const url = await open(server.redis)
  const page = async (query: string) => textOf((await ask(`${url}/runs/filed/files${query}`)).text)
  expect(files(await page(''))).toBe(100)
  expect(await page('')).toContain('120 of 121 files are done.')
  expect(await page('')).toContain('Page 1 of 2')
  expect(files(await page('?page=2'))).toBe(21)
  expect(files(await page('?table=taps'))).toBe(1)
  expect(files(await page('?state=open'))).toBe(1)
  expect(await page('?state=done&table=taps')).toContain('There are none.')
  expect(files(await page('?state=nonsense'))).toBe(100)
})

test('a run that is over says when and how fast it was, and what to do next', async () => {
  const run = await seedRun(server.redis, 'over', { createdAtMs: Date.now() - 120_000 })
  await run.table('clicks', 1200, [
    tallyOf({ read: 1200, sent: 1000, skipped: { held_back: 100 }, rejected: { missing_time: 100 } }),
  ])
  await run.ledger.seal(run.id, 'identities', 0)
  await run.ledger.seal(run.id, 'events', 1)
  const text = textOf((await ask(`${await open(server.redis)}/runs/over`)).text)
  expect(text).toMatch(
    /Finished \d{4}-.* UTC Took 2 min Mean rate (?:9|10) rows\/s Sent 1,000 Skipped 100 Rejected 100 \(8\.3%\)/,
  )
  expect(text).toContain('heapferry retry over --reason held_back, from')
  expect(text).toContain('heapferry verify over')
})

test('the report of a run shows a pause as a stretch of nothing, in its chart and in the table of it', async () => {
  const run = await seedRun(server.redis, 'reported')
  const nowMs = await run.ledger.nowMs(run.id)
  const atMs = (secondsAgo: number) => nowMs - secondsAgo * 1000
  const points = Array.from({ length: 121 }, (_, index) => 180 - index)
    .filter((ago) => ago > 120 || ago <= 90)
    .map((ago, index) => `${atMs(ago)}:${100 * index}:${50 * index}:0`)
  await server.redis.rpush('heapferry-ledger:run:reported:history', ...points)
  await run.ledger.record(run.id, { kind: 'paused', atMs: atMs(120), by: 'ada', reason: 'on request' })
  await run.ledger.record(run.id, { kind: 'resumed', atMs: atMs(90), by: 'ada' })
  await run.ledger.setIntent(run.id, { kind: 'cancel', by: 'ada' })
  const page = (await ask(`${await open(server.redis)}/runs/reported/report.html`)).text
  expect(page).toContain('<rect class="paused" x="500.0" y="0" width="250.0" height="200"/>')
  const [read] = [...page.matchAll(/<polyline class="rate-0" points="([^"]*)"/g)].map(([, line]) => line?.split(' '))
  const heightsAt = (from: number, to: number) =>
    new Set(read?.map((point) => point.split(',').map(Number)).flatMap(([x = 0, y]) => (x > from && x < to ? [y] : [])))
  // Of a chart of 200 from the top, a tenth of the highest rate above it.
  expect([...heightsAt(0, 490)]).toEqual([18.2])
  expect([...heightsAt(495, 745)]).toEqual([200])
  expect([...heightsAt(755, 1000)]).toEqual([18.2])
  const rates = textOf(page).match(/UTC 0 0 0 paused by ada: on request/g)
  expect(rates?.length).toBeGreaterThanOrEqual(4)
  expect(page).not.toMatch(/<script|https?:\/\/(?!127\.0\.0\.1)/)
})

test('runs are listed newest first', async () => {
  await seedRun(server.redis, 'older', { createdAtMs: Date.UTC(2030, 0, 1) })
  await seedRun(server.redis, 'newer', { createdAtMs: Date.UTC(2030, 0, 2) })
  const { text } = await ask(await open(server.redis))
  expect(text.indexOf('/runs/newer')).toBeGreaterThan(0)
  expect(text.indexOf('/runs/newer')).toBeLessThan(text.indexOf('/runs/older'))
})

test.each(['/runs/nobody', '/runs/Not%20a%20name', '/api/runs/nobody', '/nowhere', '/runs/%ZZ', '/queues/api/nothing'])(
  '%s is answered with 404',
  async (page) => {
    expect((await ask((await open(server.redis)) + page)).status).toBe(404)
  },
)

test('a run is failed once nothing but failed chunks is left in its phase', async () => {
  const run = await seedRun(server.redis, 'broken')
  await run.table('users', 20, [null, null])
  const { queue } = run.queue('identities')
  const state = async () => (await readRunStatus(run.id, run.ledger)).state
  const consumer = new ChunkConsumer({
    redis: server.redis,
    run: run.id,
    phase: 'identities',
    concurrency: 1,
    process: () => Promise.reject(new Error('never reached')),
    onError: () => {},
  })
  onTestFinished(() => consumer.close())
  // What is not a chunk fails for good at its first attempt.
  await queue.add('users 1', { not: 'a chunk' }, { jobId: 'first' })
  await consumer.resume()
  await expect.poll(async () => (await run.queueState('identities')).failed).toBe(1)
  expect(await state()).toBe('failed')
  await queue.add('users 2', {}, { jobId: 'second', delay: 3_600_000 })
  expect(await state()).toBe('planning')
  await queue.remove('second')
  const { text } = await ask(`${await open(server.redis)}/runs/broken`)
  expect(textOf(text)).toContain('Failed: 1 chunk failed; the first: users 1: the job is not a chunk of this run')
})

test('a page that cannot be made says what to do, and the log says why', async () => {
  const file = path.join(await temporaryFolder(), 'dashboard.log')
  const url = await open(server.redis, { logger: createLogger({ level: 'warn', role: 'dashboard', file }) })
  await server.redis.hset('heapferry-ledger:run:spoilt', 'run', '{"id":"spoilt"}')
  const { status, text } = await ask(`${url}/runs/spoilt`)
  expect(status).toBe(500)
  expect(text).toContain('heapferry status')
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ path: '/runs/spoilt', err: { type: 'ZodError' } })
})

test('while Redis is away every page says so at once, and all is well when it is back', async () => {
  const own = await ownRedis()
  const run = await seedRun(own.redis, 'survivor')
  const url = await open(own.redis)
  expect(await ask(`${url}/healthz`)).toMatchObject({ status: 200, text: '{"ok":true}' })
  own.signal('SIGKILL')
  await expect.poll(async () => (await ask(`${url}/healthz`)).status).toBe(503)
  for (const page of ['/', `/runs/${run.id}`, '/queues/', '/queues/api/queues']) {
    const { status, text } = await ask(url + page)
    expect(status).toBe(503)
    expect(text).toContain('Redis does not answer')
  }
  await own.server.ensure()
  await expect.poll(async () => (await ask(`${url}/runs/${run.id}`)).status, { timeout: 10_000 }).toBe(200)
})

test('a Redis that hangs is not healthy', async () => {
  const own = await ownRedis()
  const url = await open(own.redis)
  own.signal('SIGSTOP')
  try {
    expect((await ask(`${url}/healthz`)).status).toBe(503)
  } finally {
    own.signal('SIGCONT')
  }
  expect((await ask(`${url}/healthz`)).status).toBe(200)
})

test('the dashboard ends also while Redis is away', async () => {
  const own = await ownRedis()
  await seedRun(own.redis, 'left')
  const dashboard = await startDashboard(optionsOf(own.redis))
  expect((await ask(`${dashboard.url}/queues/api/queues`)).status).toBe(200)
  own.signal('SIGKILL')
  await expect.poll(async () => (await ask(`${dashboard.url}/healthz`)).status).toBe(503)
  await dashboard.close()
  await expect(ask(dashboard.url)).rejects.toThrow('ECONNREFUSED')
})

test('health and readiness are told without a password', async () => {
  const url = await open(server.redis, { passwords: { operator: 'long enough password', viewer: null } })
  expect((await ask(`${url}/healthz`)).status).toBe(200)
  expect((await ask(`${url}/readyz`)).status).toBe(200)
})

/** A redis-server that the test may stop, and its connection. */
async function ownRedis() {
  const own = await openPrivateRedis({ home: await temporaryFolder(), serverCandidates })
  const redis = await connectRedis(own.url, () => {})
  onTestFinished(async () => {
    redis.disconnect()
    await own.ensure()
    await own.close()
  })
  return { redis, server: own, signal: (name: NodeJS.Signals) => process.kill(own.pid, name) }
}

/** How many files a page lists. */
function files(text: string): number {
  return text.match(/(?:clicks|taps)\.csv/g)?.length ?? 0
}

/** What a reader sees, roughly: no markup, single spaces. */
function textOf(page: string): string {
  return page
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .replace(/ ([.,])/g, '$1')
}
