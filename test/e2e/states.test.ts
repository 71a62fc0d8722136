import { emptyTally } from '@heapferry/domain'
import { expect, test } from 'vitest'
import { seedRun } from '../dashboard/support.ts'
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

async function status(...args: string[]) {
  const folder = await temporaryFolder()
  return heapferryHere(['status', ...args], { cwd: folder, env: { REDIS_URL: server.server.url } })
}
