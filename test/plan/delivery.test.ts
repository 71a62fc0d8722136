import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { loadSettings } from '@heapferry/config'
import { Mapping } from '@heapferry/domain'
import type { ExportPlan } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { planSource } from '../../apps/cli/src/plan-source.ts'
import { planText } from '../../apps/cli/src/plan-text.ts'
import { temporaryFolder } from '../support/folder.ts'

test.each([
  { pace: 5000, requests: 8, why: 'as many events a request as a run at the pace of PostHog Cloud sends' },
  { pace: 400, requests: 100, why: 'fewer at a lower pace' },
  { pace: 100_000, requests: 1, why: 'never more than a thousand' },
])('a plan reckons with the requests of a run: $why', async ({ pace, requests }) => {
  const { delivery } = await planned({ events: 1000, pace })
  expect(delivery.requests.count).toBe(requests)
})

test('the letter to PostHog says how large requests are, and where they go', async () => {
  const plan = await planned({ events: 1000, pace: 5000 })
  expect(letterOf(plan, 'auto')).toContain(
    'sends POST /i/v1/analytics/events (POST /batch/ where that is not there) with historical_migration: true, at most 125 events or 4 MB a request.',
  )
  expect(letterOf(plan, 'batch')).toContain('sends POST /batch/ with historical_migration: true, at most 125 events')
})

async function planned({ events, pace }: { events: number; pace: number }): Promise<ExportPlan> {
  const source = await temporaryFolder()
  const rows = Array.from({ length: events }, (_, nth) => `${nth},7,2023-01-02 03:04:05`)
  await writeFile(path.join(source, 'signup.csv'), ['event_id,user_id,time', ...rows, ''].join('\n'))
  const plan = await planSource(source, loadSettings({}, {}, source), {
    mapping: Mapping.parse({}),
    against: null,
    hashSalt: null,
    includeRecent: false,
    full: true,
    eventsPerSecond: pace,
    signal: new AbortController().signal,
  })
  if (plan === null) throw new Error('nobody has stopped it')
  return plan
}

function letterOf(plan: ExportPlan, transport: 'auto' | 'batch'): string {
  return planText(plan, { only: null, transport }).replaceAll(/\s+/g, ' ')
}
