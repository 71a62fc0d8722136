import { startFakePostHog } from '@heapferry/fake-posthog'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { startRedis } from '../support/redis-process.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_probes0000000000000000000000000000000000000'

test('a worker whose Redis is away is alive and not ready, and ready again by itself', async () => {
  const cwd = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const redis = await startRedis()
  const port = 20_000 + (process.pid % 10_000)
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    REDIS_URL: redis.url,
    HEAPFERRY_HOME: cwd,
    HEAPFERRY_HEALTH_PORT: String(port),
  }
  const worker = heapferry(['worker'], { cwd, env })
  const probe = (path: string) =>
    fetch(`http://127.0.0.1:${port}/${path}`).then(
      ({ status }) => status,
      () => null,
    )

  await until('it is ready', async () => (await probe('readyz')) === 200)
  redis.child.kill('SIGSTOP')
  await until('it is not ready', async () => (await probe('readyz')) === 503)
  expect(await probe('healthz')).toBe(200)
  redis.child.kill('SIGCONT')
  await until('it is ready again', async () => (await probe('readyz')) === 200)
  expect(await probe('elsewhere')).toBe(404)

  const second = await heapferry(['worker'], { cwd, env }).ended
  expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining(`answered at port ${port}`) })
  worker.child.kill('SIGTERM')
  expect(await worker.ended).toMatchObject({ code: 0 })
})
