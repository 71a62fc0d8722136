import path from 'node:path'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { writeBenchCsv } from '@heapferry/sample-export'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { heapferryAnswer, heapferryHere } from '../support/heapferry-here.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_pace0000000000000000000000000000000000000000'

test.each(['run', 'enqueue'])('%s --pace none lifts the limit that the run had, and status tells it', async (name) => {
  const { here, source, posthog } = await surroundings(20)
  expect(await heapferryHere(['enqueue', source, '--run', 'e2e', '--pace', '7'], here)).toMatchObject({ code: 0 })
  const args = [name, source, '--run', 'e2e', '--pace', 'none']
  const { code } = await heapferryAnswer(args, here)
  expect(code).toBe(0)
  const status = (await heapferryHere(['status'], here)).stdout
  expect(status).toContain('Pace: no limit\n')
  expect(status).toMatch(/pace changed from 7 events\/s to no limit by /)
  expect(eventsIn(posthog)).toBe(name === 'run' ? 20 : 0)
})

test('a supervisor that starts the producer again with its flags leaves the pace that a person has set since', async () => {
  const { here, source } = await surroundings(20)
  const enqueue = (pace: string) => heapferryHere(['enqueue', source, '--run', 'e2e', '--pace', pace], here)
  const limit = async () => JSON.parse((await heapferryHere(['status', '--json'], here)).stdout).pace.limit
  expect(await enqueue('500')).toMatchObject({ code: 0, stderr: expect.not.stringContaining('pace') })
  expect(await heapferryHere(['pace', 'e2e', '7'], here)).toMatchObject({ code: 0 })
  const again = await enqueue('500')
  expect(await limit()).toBe(7)
  expect(again.stderr).toContain(
    'The pace stays at 7 events/s: it was changed after this command had asked for 500 events/s. To change it: heapferry pace e2e 500\n',
  )
  expect(await enqueue('600')).toMatchObject({ code: 0 })
  expect(await limit()).toBe(600)
})

test('--host us and eu are PostHog Cloud with its pace, and --to posthog is PostHog whatever the settings say', async () => {
  const { here, source } = await surroundings(1)
  const settings = { ...here, env: { ...here.env, HEAPFERRY_TO: 'jsonl:out' } }
  const paceOf = async (run: string, ...flags: string[]) => {
    const args = ['enqueue', source, '--run', run, '--to', 'posthog', ...flags]
    expect(await heapferryHere(args, settings)).toMatchObject({ code: 0, stdout: `${run}\n` })
    const status = JSON.parse((await heapferryHere(['status', run, '--json'], here)).stdout)
    return status.pace.limit
  }
  expect(await paceOf('us', '--host', 'us')).toBe(5000)
  expect(await paceOf('eu', '--host', 'eu')).toBe(5000)
  expect(await paceOf('own')).toBe(null)
})

test('a run keeps to the pace it was started with until another command changes it, and status tells both', async () => {
  const { here, source, posthog } = await surroundings(4000)
  const answerOf = async (...args: string[]) => (await heapferryHere(args, here)).stdout

  // It would take more than an hour.
  const run = heapferry(['run', source, '--run', 'e2e', '--pace', '1', '--workers', '1', '--no-dashboard'], here)
  await until('PostHog is sent events', () => posthog.batches.length > 0, 60_000)
  expect(JSON.parse(await answerOf('status', '--json'))).toMatchObject({
    state: 'running',
    pace: { limit: 1, effective: 1, reason: null },
  })
  expect(await answerOf('status')).toContain('Pace: 1 events/s\n')
  expect(await answerOf('pace', 'e2e', 'none')).toBe('e2e: no limit from now on.\n')
  expect(await run.ended).toMatchObject({ code: 0 })
  expect(eventsIn(posthog)).toBe(4000)
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

/** What was first of people is sent, too. */
function eventsIn({ stored }: FakePostHog): number {
  return [...stored.values()].filter(({ event }) => event !== '$set').length
}

async function surroundings(rows: number) {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey })
  onTestFinished(() => posthog.stop())
  const source = path.join(folder, 'pageviews.csv')
  await writeBenchCsv(source, { rows, seed: 1 })
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
  }
  return { here: { cwd: folder, env }, source, posthog }
}
