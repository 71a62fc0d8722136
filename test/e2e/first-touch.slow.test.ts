import { existsSync, readdirSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { RunId } from '@heapferry/domain'
import type { RunStatus } from '@heapferry/migration'
import { expect, onTestFinished, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { temporaryFolder } from '../support/folder.ts'
import { heapferry } from '../support/heapferry.ts'
import { until } from '../support/until.ts'

const apiKey = 'phc_firsttouch0000000000000000000000000000000000'
const people = 30_000
const run = RunId.parse('touch')

test('a producer that is killed while it looks for what was first does it again, and every person gets it once', async () => {
  const folder = await temporaryFolder()
  const home = path.join(folder, 'home')
  const made = path.join(home, 'runs', run, 'first_touch')
  const posthog = await startFakePostHog({ apiKey, keep: 'ids' })
  onTestFinished(() => posthog.stop())
  const sessions = Array.from({ length: people }, (_, id) => [
    `${id + 1},7,2023-05-01 10:00:00,web,a.example/${id},?utm_source=s${id}`,
    `${id + 1},8,2023-05-02 10:00:00,web,b.example/,?utm_source=later`,
  ])
  const lines = ['user_id,session_id,time,library,landing_page,landing_page_query', ...sessions.flat()]
  await writeFile(path.join(folder, 'sessions.csv'), `${lines.join('\n')}\n`)
  await writeFile(path.join(folder, 'clicks.csv'), 'event_id,user_id,time\n1,2,2023-05-01 10:00:01\n')
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: home,
    HEAPFERRY_DASHBOARD_PORT: '0',
  }
  const args = ['run', path.join(folder, '*.csv'), '--run', run, '--json', '--pace', 'none']
  const command = (...all: string[]) => heapferry(all, { cwd: folder, env })

  const first = command(...args)
  await until(
    'a file of the table is written',
    () => existsSync(made) && readdirSync(made).some((name) => name.endsWith('csv')),
    120_000,
  )
  first.child.kill('SIGKILL')
  await first.ended
  expect(existsSync(path.join(made, 'files'))).toBe(false)
  expect(posthog.batches).toEqual([])

  const second = await command(...args).ended
  expect([second.code, second.stderr]).toEqual([0, expect.stringContaining('30,000 people get what was first of them')])
  const status: RunStatus = JSON.parse(second.stdout.trim().split('\n').at(-1) ?? '')
  expect(status.tables.find(({ table }) => table === 'first_touch')).toMatchObject({
    planned: people,
    read: people,
    sent: people,
  })
  const expected = await convertible(path.join(folder, '*.csv'), { run, home })
  expect(
    new Map(
      [...posthog.stored].map(([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }]),
    ),
  ).toEqual(expected.events)
  expect([...posthog.stored.values()].every(({ times }) => times === 1)).toBe(true)

  const requests = posthog.batches.length
  expect((await command(...args).ended).code).toBe(0)
  expect(posthog.batches.length).toBe(requests)

  // Cleared after the run, as the documentation has it: what it held is made again for whoever looks, and is the same.
  await rm(path.join(home, 'runs', run), { recursive: true })
  const verified = await command('verify', run, '--offline').ended
  expect([verified.code, verified.stderr]).toEqual([0, expect.any(String)])
  expect(existsSync(made)).toBe(false)
})
