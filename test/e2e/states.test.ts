import { emptyTally } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { ask, open, seedRun } from '../dashboard/support.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'

const server = redisForTests()

test('status says what to do about rows that are unaccounted for, and ends with 1', async () => {
  const run = await seedRun(server.redis, 'short')
  await run.table('clicks', 6000, [{ ...emptyTally, read: 4801, sent: 4801 }])
  await run.ledger.seal(run.id, 'identities', 0)
  await run.ledger.seal(run.id, 'events', 1)
  const { code, stdout } = await status('short')
  expect(code).toBe(1)
  expect(stdout).toContain('short: Failed: 1,199 rows are unaccounted for (clicks: 1,199)')
  expect(stdout).toContain('--run NAME')
  expect(stdout).not.toContain('Completed')
})

test('a run on which nobody works says so, on its page, in status, in /readyz and in a metric, until somebody does', async () => {
  const run = await seedRun(server.redis, 'idle')
  const [chunk] = await run.table('clicks', 10, [null])
  if (!chunk) throw new Error('no chunk was planned')
  await run.ledger.seal(run.id, 'identities', 0)
  await run.ledger.seal(run.id, 'events', 1)
  await run.queue('events').add([{ chunk, title: 'clicks 1' }])
  const url = await open(server.redis)
  expect(JSON.parse((await ask(`${url}/readyz`)).text)).toMatchObject({ trouble: [] })

  await server.redis.hset(`heapferry-ledger:run:${run.id}`, 'wantedAtMs', Date.now() - 11_000)
  const { stdout } = await status('idle')
  expect(stdout).toContain('idle: Standing still. No worker works on this run')
  const page = (await ask(`${url}/runs/idle`)).text
  expect(page).toContain('standing still')
  expect(page).toMatch(/class="banner">Standing still. No worker works on this run/)
  const ready = await ask(`${url}/readyz`)
  expect([ready.status, JSON.parse(ready.text)]).toEqual([503, { ok: false, workers_stuck: 0, trouble: ['no_worker'] }])
  const metrics = (await ask(`${url}/metrics`)).text
  expect(metrics).toContain('heapferry_run_trouble{run="idle",kind="no_worker"} 1')
  expect(metrics).toContain('heapferry_run_trouble{run="idle",kind="queue_paused"} 0')

  const nowMs = Date.now()
  const pulse = {
    worker: 'host:1',
    atMs: nowMs,
    startedAtMs: 1,
    awaits: null,
    memoryBytes: 2,
    rate: 0,
    chunks: [],
    movedAtMs: nowMs,
  }
  await run.ledger.setPulse(run.id, pulse)
  expect((await status('idle')).stdout).toContain('idle: Running')
})

test('a plan whose producer has fallen silent is said to be incomplete', async () => {
  const run = await seedRun(server.redis, 'half')
  await run.table('clicks', 10, [null])
  await run.ledger.seal(run.id, 'identities', 0)
  await run.ledger.producing(run.id)
  expect((await status('half')).stdout).not.toContain('The plan is incomplete')
  await server.redis.hset(`heapferry-ledger:run:${run.id}`, 'producedAtMs', Date.now() - 11_000)
  expect((await status('half')).stdout).toContain('half: Standing still. The plan is incomplete, and nobody plans')
})

test('resume takes back a pause of the queue itself', async () => {
  const run = await seedRun(server.redis, 'held')
  await run.table('clicks', 10, [null])
  await run.ledger.seal(run.id, 'identities', 0)
  await run.queue('events').queue.pause()
  expect((await status('held')).stdout).toContain('heapferry resume held goes on.')
  expect((await command('resume', 'held')).code).toBe(0)
  expect(await run.queueState('events')).toMatchObject({ paused: false })
})

function status(...args: string[]) {
  return command('status', ...args)
}

async function command(...args: string[]) {
  const folder = await temporaryFolder()
  return heapferryHere(args, { cwd: folder, env: { REDIS_URL: server.server.url } })
}
