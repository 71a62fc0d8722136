import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { RunId } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import type { RunStatus } from '@heapferry/migration'
import { ChunkQueue, redisLedger } from '@heapferry/queue'
import { writeBenchCsv } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { redisForTests } from '../support/redis.ts'
import { until } from '../support/until.ts'
import { withoutFirstTouch } from '../support/without-first-touch.ts'

const apiKey = 'phc_states000000000000000000000000000000000000'
const server = redisForTests()
const files = 5
const rowsOfFile = 200

test('chunks that were altered or removed in the queue never make a run complete, and the same command mends it', async () => {
  const { run, command, status, queue, posthog } = await enqueued('tampered')
  const jobs = await queue.getJobs()
  const [altered, removed] = jobs
  if (!altered || !removed) throw new Error('nothing is in the queue')
  const { start, end } = altered.data.range
  await altered.updateData({
    ...altered.data,
    range: { kind: 'bytes', start, end: end - 1 },
    rows: 1,
  })
  await removed.remove()
  await queue.add(
    'forged',
    { ...jobs[2]?.data, id: `${removed.data.file}-000009`, file: removed.data.file },
    {
      jobId: `${removed.data.file}-000009`,
    },
  )

  const worker = heapferry(['worker', '--run', run], command)
  await until('nothing else can be done', async () => (await status()).totals.sent === (files - 2) * rowsOfFile)
  await until('both have failed', async () => (await queue.getFailedCount()) === 2)
  const { state, message } = await status()
  expect([state, message]).toEqual(['failed', expect.stringContaining('the chunk is not one that was planned')])
  expect(posthog.stored.size).toBe((files - 2) * rowsOfFile)

  await heapferry(
    ['enqueue', path.join(command.cwd, 'export'), '--run', run, ...(await withoutFirstTouch(command.cwd))],
    command,
  ).ended
  await until('the run is complete', async () => (await status()).state === 'completed')
  expect(posthog.stored.size).toBe(files * rowsOfFile)
  worker.child.kill('SIGTERM')
  await worker.ended
})

test('a run whose only worker is frozen, and one whose worker was killed, say so within 15 s', async () => {
  const { run, command, status } = await enqueued('frozen', '--pace', '20')
  const worker = heapferry(['worker', '--run', run], command)
  await until('rows are sent', async () => (await status()).totals.sent > 0)
  expect((await status()).trouble).toEqual([])
  worker.child.kill('SIGSTOP')
  onTestFinished(() => void worker.child.kill('SIGKILL'))
  await until('it is told', async () => (await status()).trouble[0]?.kind === 'workers_stuck', 15_000)
  worker.child.kill('SIGCONT')
  await until('it works again', async () => (await status()).trouble.length === 0, 15_000)
  worker.child.kill('SIGTERM')
  await worker.ended
  await until('it is told', async () => (await status()).trouble[0]?.kind === 'no_worker', 15_000)
})

/** A run of small files, a chunk each, that waits for workers. */
async function enqueued(name: string, ...flags: string[]) {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  const run = RunId.parse(name)
  const events = new ChunkQueue(server.redis, run, 'events', () => {})
  onTestFinished(async () => {
    await events.close()
    await posthog.stop()
  })
  const source = path.join(folder, 'export')
  await mkdir(source)
  for (let file = 0; file < files; file++) {
    await writeBenchCsv(path.join(source, `pageviews_${file}.csv`), { rows: rowsOfFile, seed: file })
  }
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: server.server.url,
  }
  const command = { cwd: folder, env }
  const { code, stderr } = await heapferry(
    ['enqueue', source, '--run', run, ...(await withoutFirstTouch(folder)), ...flags],
    command,
  ).ended
  expect([code, stderr]).toEqual([0, expect.anything()])
  // The producer has said that it was at work.
  expect((await redisLedger(server.redis).progress(run)).producedAtMs).not.toBeNull()
  return {
    run,
    posthog,
    command,
    queue: events.queue,
    status: async (): Promise<RunStatus> =>
      JSON.parse((await heapferryHere(['status', run, '--json'], command)).stdout),
  }
}
