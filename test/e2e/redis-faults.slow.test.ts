import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { RunId } from '@heapferry/domain'
import { startFakePostHog } from '@heapferry/fake-posthog'
import type { RunStatus } from '@heapferry/migration'
import { writeBenchCsv } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { freePort } from '../../packages/queue/src/free-port.ts'
import { startRedis } from '../support/redis-process.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import { withoutFirstTouch } from '../support/without-first-touch.ts'

const apiKey = 'phc_redis0000000000000000000000000000000000000000'
const rows = 3000
const longerThanFiveAttemptsMs = 25_000

test('a run whose Redis is full for half a minute stands still, says why everywhere, and ends complete by itself', async () => {
  const { admin, run, command, status, posthog, enqueue, env } = await scene()
  await enqueue('--pace', '100')
  const workers = [0, 1].map(() => heapferry(['worker', '--run', run], command))
  const port = await freePort()
  heapferry(['dashboard'], { ...command, env: { ...env, HEAPFERRY_DASHBOARD_PORT: String(port) } })
  const page = async (at: string, form?: URLSearchParams) => {
    const answer = await fetch(`http://127.0.0.1:${port}${at}`, form && { method: 'POST', body: form })
    return { status: answer.status, text: await answer.text() }
  }
  await until('rows are sent', async () => (await status()).totals.sent > 0)
  await until('the page is there', async () => (await page('/healthz').catch(() => null))?.status === 200)

  await admin.config('SET', 'maxmemory', '1')
  await until('it is told', async () => (await status()).trouble.some(({ kind }) => kind === 'redis_full'), 15_000)
  const { message } = await status()
  expect(message).toMatch(/^Standing still\. Redis is full.*CONFIG SET maxmemory/)
  expect((await page(`/runs/${run}`)).text).toContain('Redis is full')
  expect(await page('/readyz')).toMatchObject({
    status: 503,
    text: expect.stringContaining('"trouble":["redis_full"]'),
  })
  expect((await page('/metrics')).text).toContain(`heapferry_run_trouble{run="${run}",kind="redis_full"} 1`)
  const paused = await page(`/runs/${run}/pause`, new URLSearchParams())
  expect(paused).toMatchObject({ status: 503, text: expect.stringContaining('Redis is full') })
  expect(paused.text).not.toMatch(/\n\s+at /)
  const pausing = await heapferryHere(['pause', run], command)
  expect(pausing).toMatchObject({ code: 1, stderr: expect.stringMatching(/^heapferry: Redis is full[^]*→ Raise it/) })
  const flags = await withoutFirstTouch(command.cwd)
  const late = heapferry(['enqueue', path.join(command.cwd, 'export'), '--run', run, ...flags], command)
  const sent = posthog.stored.size
  await new Promise((resolve) => setTimeout(resolve, longerThanFiveAttemptsMs))
  // What was on its way went on, and nothing after it.
  expect(posthog.stored.size).toBeLessThan(sent + 2000)
  for (const { stderr } of [...workers, late]) {
    expect(stderr()).toContain('Redis is full')
    expect(stderr().split('\n').length).toBeLessThan(20)
  }

  await admin.config('SET', 'maxmemory', '0')
  await heapferryHere(['pace', run, 'none'], command)
  await until('the run is complete', async () => (await status()).state === 'completed', 120_000)
  expect((await late.ended).code).toBe(0)
  expect((await status()).details.join('\n')).toContain('0 failed')
  expect(posthog.stored.size).toBe(rows)
})

test('workers take a run that was forgotten and created anew as the new one says, in every row', async () => {
  const { admin, command, status, posthog, enqueue, folder } = await scene()
  await enqueue('--pace', '100')
  const worker = heapferry(['worker'], command)
  await until('rows are sent', async () => (await status()).totals.sent > 0)

  const mapping = path.join(folder, 'heapferry.yaml')
  await writeFile(mapping, 'first_touch: skip\ntables: { signup: { event: Signed up } }\n')
  // The queue stays, with what the worker has in hand.
  await admin.del(...(await admin.keys(`heapferry-ledger:*`)))
  await enqueue('--mapping', mapping, '--pace', 'none')
  await until('the new run is complete', async () => (await status()).state === 'completed', 120_000)
  expect((await status()).totals.sent).toBe(rows)
  expect(worker.child.exitCode).toBeNull()
  expect([...posthog.stored.values()].filter(({ event }) => event === 'Signed up').length).toBe(rows)
})

test('workers and a producer whose connections went silent go on within half a minute', async () => {
  const { run, command, status, posthog, enqueue, env, server } = await scene()
  const proxy = await startTcpProxy(server.port)
  await enqueue('--pace', '200')
  const throughProxy = { ...command, env: { ...env, REDIS_URL: `redis://127.0.0.1:${proxy.port}` } }
  const worker = heapferry(['worker', '--run', run], throughProxy)
  await until('rows are sent', async () => (await status()).totals.sent > 0)
  proxy.dropOpen()
  const { sent } = (await status()).totals
  await until('more rows are sent', async () => (await status()).totals.sent > sent, 45_000)
  await heapferryHere(['pace', run, 'none'], command)
  await until('the run is complete', async () => (await status()).state === 'completed', 60_000)
  expect(posthog.stored.size).toBe(rows)
  expect(worker.child.exitCode).toBeNull()
})

async function scene() {
  const folder = await temporaryFolder()
  const server = await startRedis(['--appendonly', 'yes'])
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  await mkdir(path.join(folder, 'export'))
  await writeBenchCsv(path.join(folder, 'export', 'signup.csv'), { rows, seed: 7 })
  const run = RunId.parse('faulty')
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_TRANSPORT: 'v1',
    HEAPFERRY_HOME: path.join(folder, 'home'),
    REDIS_URL: server.url,
  }
  const command = { env, cwd: folder }
  return {
    folder,
    server,
    admin: server.admin,
    posthog,
    run,
    env,
    command,
    async enqueue(...flags: string[]) {
      const { code, stderr } = await heapferry(
        ['enqueue', path.join(folder, 'export'), '--run', run, ...(await withoutFirstTouch(folder)), ...flags],
        command,
      ).ended
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) })
    },
    async status(): Promise<RunStatus> {
      return JSON.parse((await heapferryHere(['status', run, '--json'], command)).stdout)
    },
  }
}
