import path from 'node:path'
import { countOf, type RejectedRow } from '@heapferry/domain'
import { isAbout } from '@heapferry/fake-posthog'
import { readRunStatus } from '@heapferry/migration'
import { writeSampleExport } from '@heapferry/sample-export'
import { expect, test } from 'vitest'
import { convertible } from '../support/convertible.ts'
import { type Crew, crew } from '../support/crew.ts'
import { heapferryHere } from '../support/heapferry-here.ts'
import { until } from '../support/until.ts'

test.each([
  ['v1', { told: false }, 'billing_limit_exceeded'],
  ['batch', { told: true }, 'quota used up for events'],
])(
  'a billing limit of which %s tells pauses the run, counts nothing as sent that was dropped, and costs nothing',
  async (transport, limit, reason) => {
    const team = await crew({ HEAPFERRY_TRANSPORT: transport })
    const { posthog, run, ledger } = team
    const source = await exported(team)
    const status = statusOf(team)
    posthog.fault({ kind: 'latency', ms: 20 })
    team.start(source, 1)
    await until('some events are stored', () => posthog.stored.size > 800)
    posthog.fault({ kind: 'billing_limit', ...limit })
    await until('the run is paused', async () => (await status()).state === 'paused')

    expect(await ledger.intent(run)).toMatchObject({
      kind: 'pause',
      by: 'heapferry',
      reason: expect.stringContaining(reason),
      hint: expect.stringContaining('billing limit of the project, then resume'),
    })
    const expected = await convertible(source, team)
    const { totals } = await status()
    expect(totals.sent).toBe(posthog.stored.size)
    expect(totals.sent).toBeLessThan(expected.convertibleRows)
    expect(totals.rejected_by_reason).not.toHaveProperty('refused_by_posthog')

    posthog.clearFaults()
    await ledger.setIntent(run, { kind: 'run', by: 'ada', acceptedTables: [] })
    await until('the run is complete', team.isComplete)
    expect(storedIn(team)).toEqual(expected.events)
    expect([...posthog.stored.values()].every(({ times }) => times === 1)).toBe(true)
    const after = (await status()).totals
    expect([after.sent, after.sent + after.skipped + after.rejected]).toEqual([expected.convertibleRows, after.read])
  },
)

test('what PostHog drops, remarks on and wants again ends as rejected, sent and sent, and is told', async () => {
  const team = await crew()
  const { posthog, run, ledger } = team
  const source = await exported(team)
  posthog.fault({ kind: 'refuse_event', everyNth: 100, details: 'event_restriction_drop' })
  posthog.fault({ kind: 'retry_event', everyNth: 30, next: 3 })
  posthog.fault({ kind: 'warn_event', everyNth: 50 })
  team.start(source, 1)
  await until('the run is complete', team.isComplete)

  const { events } = await convertible(source, team)
  const kept = new Map([...events].filter(([uuid]) => !isAbout({ everyNth: 100 }, { event: '', uuid })))
  expect(storedIn(team)).toEqual(kept)
  const rejected: RejectedRow[] = []
  for await (const row of ledger.rejectedRows(run)) if (row.reason === 'refused_by_posthog') rejected.push(row)
  expect(rejected.length).toBe(events.size - kept.size)
  expect(rejected.length).toBeGreaterThan(10)
  for (const { detail } of rejected) expect(detail).toContain('a restriction of the project')
  for (const { table, tally } of (await ledger.progress(run)).tables) {
    expect([table, tally.sent + countOf(tally.skipped) + countOf(tally.rejected)]).toEqual([table, tally.read])
  }

  const warned = [...kept.keys()].filter((uuid) => isAbout({ everyNth: 50 }, { event: '', uuid })).length
  expect(warned).toBeGreaterThan(20)
  expect(await statusOf(team)()).toMatchObject({
    transport: 'v1',
    totals: { sent: kept.size, warned, warned_by_kind: { person_processing_disabled: warned } },
  })
  const env = { POSTHOG_HOST: posthog.url, HEAPFERRY_HOME: team.home, REDIS_URL: team.redisServer.url }
  const { stdout } = await heapferryHere(['status', run], { cwd: team.folder, env })
  expect(stdout).toMatch(
    /Sent, with a warning from PostHog:\n +\d+  person_processing_disabled\n {14}Stored, but without/,
  )
  expect(stdout).toContain('sent with v1: PostHog says for every event')
  expect(await ledger.timeline(run)).toContainEqual(
    expect.objectContaining({ kind: 'transport_chosen', transport: 'v1' }),
  )
})

/** No row of it is there twice. */
async function exported({ folder }: Crew): Promise<string> {
  const source = path.join(folder, 'export')
  await writeSampleExport({ folder: source, seed: 9, people: 100, pageviewRows: 2500, eventRows: 1000, traps: false })
  return source
}

function statusOf({ run, ledger }: Crew) {
  return () => readRunStatus(run, ledger)
}

function storedIn({ posthog }: Crew) {
  return new Map(
    [...posthog.stored].map(([uuid, { event, distinct_id, timestamp }]) => [uuid, { event, distinct_id, timestamp }]),
  )
}
