import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startFakePostHog } from '@heapferry/fake-posthog'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { heapferryAnswer } from '../support/heapferry-here.ts'

const apiKey = 'phc_groups00000000000000000000000000000000000000'
const personalKey = 'phx_groups00000000000000000000000000000000000000'

test('people are read twice, for themselves and for their groups, and every row of both is accounted for', async () => {
  const folder = await temporaryFolder()
  const posthog = await startFakePostHog({ apiKey, keep: 'events', queries: { personalKey } })
  onTestFinished(() => posthog.stop())
  await mkdir(path.join(folder, 'export'))
  await writeFile(
    path.join(folder, 'export', 'users.csv'),
    `user_id,identity,joindate,last_modified,account_id,plan,seats
1,ada@example.com,2023-01-01 00:00:00,2023-05-01 00:00:00,A1,Free,5
2,bob@example.com,2023-01-02 00:00:00,2023-06-01 00:00:00,A1,Pro,
3,eve@example.com,2023-01-03 00:00:00,2023-04-01 00:00:00,A1,Free,9
4,,2023-01-04 00:00:00,2023-04-01 00:00:00,A2,Free,
5,,2023-01-05 00:00:00,2023-04-01 00:00:00,,Free,1
`,
  )
  await writeFile(
    path.join(folder, 'export', 'signup.csv'),
    'event_id,user_id,time,account_id\n1,1,2023-01-02 03:04:05,A1\n2,5,2023-01-02 03:04:05,\n',
  )
  await writeFile(
    path.join(folder, 'heapferry.yaml'),
    'groups: { company: { key: account_id, properties: [plan, seats] } }\n',
  )
  const env = {
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    POSTHOG_PERSONAL_API_KEY: personalKey,
    HEAPFERRY_HOME: path.join(folder, 'home'),
    HEAPFERRY_DASHBOARD_PORT: '0',
  }
  const command = (...args: string[]) => heapferryAnswer(args, { cwd: folder, env })
  const run = () => command('run', 'export', '--run', 'a', '--mapping', 'heapferry.yaml')
  expect(await run()).toMatchObject({ code: 0 })

  const stored = [...posthog.stored.values()]
  const groups = stored.filter(({ event }) => event === '$groupidentify')
  expect(
    groups
      .map(({ distinct_id, properties }) => [distinct_id, properties?.$group_key, properties?.$group_set])
      .toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  ).toEqual([
    ['4', 'A2', { plan: 'Free' }],
    ['ada@example.com', 'A1', { seats: '5' }],
    ['bob@example.com', 'A1', { plan: 'Pro' }],
  ])
  const signups = stored.filter(({ event }) => event === 'signup')
  expect(signups.map(({ properties }) => properties?.$groups)).toEqual([{ company: 'A1' }, undefined])

  const { tables } = JSON.parse((await command('status', 'a', '--json')).stdout)
  expect(tables).toMatchObject([
    { table: 'group_company', planned: 5, read: 5, sent: 3, skipped: 2, rejected: 0 },
    { table: 'signup', planned: 2, read: 2, sent: 2, skipped: 0, rejected: 0 },
    { table: 'users', planned: 5, read: 5, sent: 5, skipped: 0, rejected: 0 },
  ])
  expect(await command('verify', 'a')).toMatchObject({ code: 0 })

  const requests = posthog.batches.length
  expect(await run()).toMatchObject({ code: 0 })
  expect(posthog.batches.length).toBe(requests)
})
