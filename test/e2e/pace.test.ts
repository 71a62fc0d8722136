import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { writeBenchCsv } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_pace0000000000000000000000000000000000000000'

test('a run keeps to the pace it was started with until another command changes it, and status tells both', async () => {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const source = path.join(folder, 'pageviews.csv')
  await writeBenchCsv(source, { rows: 4000, seed: 1 })
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
  }
  const here = { cwd: folder, env }
  const answerOf = async (...args: string[]) => (await heapferryHere(args, here)).stdout

  // It would take more than an hour.
  const run = heapferry(['run', source, '--run', 'e2e', '--pace', '1', '--workers', '1'], here)
  await until('PostHog is sent events', () => posthog.batches.length > 0, 60_000)
  expect(JSON.parse(await answerOf('status', '--json'))).toMatchObject({
    state: 'running',
    pace: { limit: 1, effective: 1, reason: null },
  })
  expect(await answerOf('status')).toContain('Pace: 1 events/s\n')
  expect(await answerOf('pace', 'e2e', 'none')).toBe('e2e: no limit from now on.\n')
  expect(await run.ended).toMatchObject({ code: 0 })
  expect(posthog.stored.size).toBe(4000)
  expect(posthog.batches[0]?.events).toBe(1)

  expect(await answerOf('status')).toContain('Pace: no limit\n')
  expect(await heapferryHere(['pace', '100'], here)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('is complete'),
  })
  expect(await heapferryHere(['pace', '0'], here)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('1 to 999999'),
  })
}, 120_000)
