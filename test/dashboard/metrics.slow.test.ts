import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { redisForTests } from '../support/redis.ts'
import { ask, dashboardProcess, seedRun, tallyOf } from './support.ts'

const server = redisForTests()

test('2,000 scrapes cost no memory', async () => {
  const run = await seedRun(server.redis, 'scraped')
  await run.table('clicks', 10, [tallyOf({ read: 10, sent: 10 })])
  const { url } = await dashboardProcess(await temporaryFolder(), { REDIS_URL: server.server.url })
  const memoryBytes = async () => {
    const { text } = await ask(`${url}/metrics`)
    return Number(/^heapferry_dashboard_process_resident_memory_bytes (\d+)$/m.exec(text)?.[1])
  }
  for (let times = 0; times < 100; times++) await memoryBytes()
  const beforeBytes = await memoryBytes()
  expect(beforeBytes).toBeGreaterThan(10_000_000)
  for (let times = 0; times < 2000; times++) await memoryBytes()
  // What a collector leaves for later is some tens of megabytes; what every scrape kept once was 800.
  expect((await memoryBytes()) - beforeBytes).toBeLessThan(100_000_000)
})
