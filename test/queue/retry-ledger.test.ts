import { emptyTally, type RejectedRow, type RetriedRow, type RetryHold } from '@heapferry/domain'
import { isRunComplete, runState, timelineText } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { redisForTests } from '../support/redis.ts'
import { rejectedAt, rejectingRun } from '../support/rejecting-run.ts'

const server = redisForTests()
const idle = { waiting: 0, active: 0, failed: 0, paused: false, firstFailure: null }
let runs = 0

test('a rejected row that is sent leaves the list, and one moves from rejected to sent in all counters', async () => {
  const { ledger, hold, run, rows, tallies, rejected } = await withRejectedRows()
  await ledger.settle(hold, 1, [sent(rows[0])])
  expect((await rejected()).map(({ row }) => row)).toEqual([2, 11])
  const moved = { ...emptyTally, read: 10, sent: 9, rejected: { missing_time: 1 } }
  const untouched = { ...emptyTally, read: 10, sent: 9, rejected: { damaged_id: 1 } }
  expect(await tallies()).toEqual({
    table: { ...emptyTally, read: 20, sent: 18, rejected: { missing_time: 1, damaged_id: 1 } },
    chunks: [moved, untouched],
  })
  const retried = []
  for await (const key of ledger.retriedRows(run.id)) retried.push(key)
  expect(retried).toEqual([{ chunk: rows[0].chunk, row: 1 }])
})

test('rows of several chunks end as sent, skipped and rejected again, together', async () => {
  const { ledger, hold, rows, tallies, rejected } = await withRejectedRows()
  const again = { ...rows[2], reason: 'refused_by_posthog', detail: '400: no' } as const
  await ledger.settle(hold, 1, [
    sent(rows[0]),
    { ...rows[1], kind: 'skipped', reason: 'superseded' },
    { kind: 'rejected', ...again },
  ])
  expect(await rejected()).toEqual([again])
  expect(await tallies()).toEqual({
    table: { ...emptyTally, read: 20, sent: 18, skipped: { superseded: 1 }, rejected: { refused_by_posthog: 1 } },
    chunks: [
      { ...emptyTally, read: 10, sent: 9, skipped: { superseded: 1 }, rejected: {} },
      { ...emptyTally, read: 10, sent: 9, rejected: { refused_by_posthog: 1 } },
    ],
  })
  expect(await ledger.endRetry(hold)).toEqual({
    reasons: { missing_time: 2, damaged_id: 1 },
    sent: 1,
    skipped: 1,
    rejected: 1,
  })
})

test('a batch that is settled twice, and a row that was settled before, change nothing', async () => {
  const { ledger, hold, rows, tallies, rejected } = await withRejectedRows()
  const batch: RetriedRow[] = [sent(rows[0]), { kind: 'rejected', ...rows[1] }]
  await ledger.settle(hold, 1, batch)
  const [tallied, listed] = [await tallies(), await rejected()]
  await ledger.settle(hold, 1, batch)
  await ledger.settle(hold, 2, [sent(rows[0])])
  expect([await tallies(), await rejected()]).toEqual([tallied, listed])
  expect(await ledger.endRetry(hold)).toMatchObject({ sent: 1, rejected: 1 })
})

test('what is sent is counted by event and day, once', async () => {
  const { ledger, hold, rows, sentDays } = await withRejectedRows()
  const batch: RetriedRow[] = [
    sent(rows[0]),
    { ...sent(rows[1]), kind: 'sent', event: 'tapped', table: 'clicks', day: 3 },
  ]
  await ledger.settle(hold, 1, batch)
  await ledger.settle(hold, 1, batch)
  await ledger.settle(hold, 2, [sent(rows[0]), sent(rows[2])])
  expect(await sentDays()).toEqual([
    ['clicked', [[19_359, 2]]],
    ['tapped', [[3, 1]]],
  ])
})

test('what PostHog remarks on rows that are sent again is counted, once', async () => {
  const { ledger, hold, rows, tallies } = await withRejectedRows()
  const warned = { table: 'clicks', counts: { person_processing_disabled: 2 } }
  await ledger.settle(hold, 1, [sent(rows[0]), sent(rows[1])], warned)
  await ledger.settle(hold, 1, [sent(rows[0]), sent(rows[1])], warned)
  await ledger.settle(hold, 2, [sent(rows[2])])
  expect((await tallies()).table?.warned).toEqual({ person_processing_disabled: 2 })
})

test('a run whose last rejected row is sent is completed', async () => {
  const { ledger, hold, run, rows, complete } = await withRejectedRows()
  await complete(2, 20)
  const stateNow = async () => runState(await ledger.progress(run.id), idle).kind
  expect(await stateNow()).toBe('completed_with_rejected_rows')
  await ledger.settle(
    hold,
    1,
    rows.map((row) => sent(row)),
  )
  expect(isRunComplete(await ledger.progress(run.id))).toBe(true)
  expect(await stateNow()).toBe('completed')
})

test('rows of a chunk that is not done are left alone: a worker may be at it', async () => {
  const { ledger, hold, chunk, end, tallies, rejected } = await withRejectedRows()
  const row = rejectedAt(chunk(2), 21)
  await end(2, { sent: 4, read: 5, rejected: { missing_time: 1 } }, [row], false)
  const before = [await tallies(), await rejected()]
  expect(await ledger.announce(hold, [{ ...row, sentAs: 'a' }], true)).toEqual(['chunk_not_done'])
  await ledger.settle(hold, 1, [sent(row)])
  expect([await tallies(), await rejected()]).toEqual(before)
})

test('a worker that comes late with a chunk that is done does not undo a retry', async () => {
  const { ledger, hold, rows, end, tallies, rejected } = await withRejectedRows()
  await ledger.settle(hold, 1, [sent(rows[0])])
  const before = [await tallies(), await rejected()]
  await end(0, { sent: 8, rejected: { missing_time: 2 } }, [rows[0], rows[1]])
  expect([await tallies(), await rejected()]).toEqual(before)
})

test('one process retries at a time; who is told, and whoever lost the right changes nothing', async () => {
  const { ledger, hold, run, rows, forgetHold, tallies } = await withRejectedRows()
  const other: RetryHold = { run: run.id, token: 'other' }
  expect(await ledger.takeRetry(other, 'bob')).toEqual({ by: 'ada', sinceMs: expect.any(Number) })
  expect(await ledger.takeRetry(hold, 'ada')).toBeNull()
  await ledger.keepRetry(hold)

  await forgetHold()
  expect(await ledger.takeRetry(other, 'bob')).toBeNull()
  const before = await tallies()
  await expect(ledger.keepRetry(hold)).rejects.toThrow('Another process retries')
  await expect(ledger.announce(hold, [{ ...rows[0], sentAs: 'a' }], false)).rejects.toThrow('Another process')
  await expect(ledger.settle(hold, 1, [sent(rows[0])])).rejects.toThrow('Another process retries')
  await expect(ledger.endRetry(hold)).rejects.toThrow('Another process retries')
  expect(await tallies()).toEqual(before)
  await ledger.endRetry(other)
  expect(await ledger.takeRetry(hold, 'ada')).toBeNull()
})

test('what a retry did that was killed is in the timeline when the next one begins', async () => {
  const { ledger, hold, run, rows, forgetHold } = await withRejectedRows()
  await ledger.settle(hold, 1, [sent(rows[0])])
  await forgetHold()
  const next: RetryHold = { run: run.id, token: 'next' }
  await ledger.takeRetry(next, 'bob')
  await ledger.settle(next, 1, [sent(rows[2])])
  await ledger.endRetry(next)
  await ledger.takeRetry(hold, 'ada')
  await ledger.endRetry(hold)
  const retried = (await ledger.timeline(run.id)).filter(({ kind }) => kind === 'retried')
  expect(retried).toEqual([
    {
      kind: 'retried',
      atMs: expect.any(Number),
      by: 'ada',
      reasons: { missing_time: 1 },
      sent: 1,
      skipped: 0,
      rejected: 0,
    },
    {
      kind: 'retried',
      atMs: expect.any(Number),
      by: 'bob',
      reasons: { damaged_id: 1 },
      sent: 1,
      skipped: 0,
      rejected: 0,
    },
  ])
})

test('that somebody retries, how far it is, and how it ended is there for all to see', async () => {
  const { ledger, hold, run, rows, forgetHold } = await withRejectedRows()
  const outcome = { reasons: {}, sent: 0, skipped: 0, rejected: 0 }
  expect(await ledger.retryUnderWay(run.id)).toMatchObject({ by: 'ada', rows: null, looked: 0, outcome })
  await ledger.settle(hold, 1, [sent(rows[0]), { kind: 'rejected', ...rows[1] }])
  await ledger.keepRetry(hold, { rows: 3, looked: 2 })
  // A process that a dashboard has started goes on as whoever wanted it.
  expect(await ledger.takeRetry(hold, 'somebody else')).toBeNull()
  expect(await ledger.retryUnderWay(run.id)).toMatchObject({
    by: 'ada',
    rows: 3,
    looked: 2,
    outcome: { reasons: { missing_time: 2 }, sent: 1, rejected: 1 },
  })
  await forgetHold()
  expect(await ledger.retryUnderWay(run.id)).toBeNull()
  const next: RetryHold = { run: run.id, token: 'next' }
  await ledger.takeRetry(next, 'bob', { table: 'clicks', reason: 'damaged_id', from: ['mended.csv'] })
  await ledger.endRetry(next)
  expect(await ledger.retryUnderWay(run.id)).toBeNull()
  const [, ...told] = (await ledger.timeline(run.id)).map(timelineText)
  expect(told).toEqual([
    'retry of rejected rows requested by ada',
    'retried by ada (2 missing_time): 1 sent, 0 skipped, 1 still rejected',
    'the retry by ada was cut off',
    'retry of rejected rows (clicks, damaged_id, mended in mended.csv) requested by bob',
    'the retry by bob ended: there was nothing to send',
  ])
})

test('a row that a killed retry may have sent is sent again only as the same event, until it is settled', async () => {
  const { ledger, hold, run, rows, forgetHold } = await withRejectedRows()
  const as = (sentAs: string | null) => [{ ...rows[0], sentAs }]
  expect(await ledger.announce(hold, as('a'), false)).toEqual([null])
  await forgetHold()
  const next: RetryHold = { run: run.id, token: 'next' }
  await ledger.takeRetry(next, 'bob')
  expect(await ledger.announce(next, as('b'), false)).toEqual(['sent_otherwise'])
  expect(await ledger.announce(next, as(null), false)).toEqual(['sent_otherwise'])
  expect(await ledger.announce(next, as('a'), false)).toEqual([null])
  expect(await ledger.announce(next, as('b'), true)).toEqual([null])
  await ledger.settle(next, 1, [{ kind: 'rejected', ...rows[0] }])
  expect(await ledger.announce(next, as('c'), false)).toEqual([null])
  await ledger.settle(next, 2, [sent(rows[0])])
  expect(await ledger.announce(next, as('c'), false)).toEqual(['not_rejected'])
})

test('held back rows that are sent or rejected move from skipped, once, and the chunk knows how far it is', async () => {
  const { ledger, hold, run, chunk, end, tallies, rejected, sentDays } = await withRejectedRows()
  await end(2, { sent: 6, skipped: { held_back: 4 } })
  await end(3, { read: 5, sent: 1, skipped: { held_back: 4 } }, [], false)
  const { id } = chunk(2)
  expect(await heldBack()).toEqual([{ chunk: id, heldBack: null }])
  const pass = { sinceMs: 5, pass: { toMs: 9, cursor: 100, rows: 7 } }
  const refused = rejectedAt(chunk(2), 25, { reason: 'refused_by_posthog' })
  const warned = { person_processing_disabled: 1 }
  const ended = { sent: [{ event: 'clicked', day: 19_359, count: 2 }], rejected: [refused], warned }
  await ledger.settleHeldBack(hold, { id, table: 'clicks' }, { was: null, is: pass }, ended)
  const after = [await tallies(), await rejected()]
  await ledger.settleHeldBack(hold, { id, table: 'clicks' }, { was: null, is: pass }, ended)
  expect([await tallies(), await rejected()]).toEqual(after)
  expect((await tallies()).chunks[2]).toEqual({
    ...emptyTally,
    read: 10,
    sent: 8,
    skipped: { held_back: 1 },
    rejected: { refused_by_posthog: 1 },
  })
  expect((await tallies()).table).toMatchObject({ sent: 26, skipped: { held_back: 5 }, warned })
  expect((await rejected()).at(-1)).toEqual(refused)
  expect(await heldBack()).toEqual([{ chunk: id, heldBack: pass }])

  const stale = ledger.settleHeldBack(
    hold,
    { id, table: 'clicks' },
    { was: null, is: { sinceMs: 9, pass: null } },
    ended,
  )
  await expect(stale).rejects.toThrow('are not where they were')
  await ledger.settleHeldBack(
    hold,
    { id, table: 'clicks' },
    { was: pass, is: { sinceMs: 9, pass: null } },
    { sent: [{ event: 'clicked', day: 19_360, count: 1 }], rejected: [], warned: {} },
  )
  expect((await tallies()).chunks[2]?.skipped).toEqual({})
  expect(await heldBack()).toEqual([])
  expect(await sentDays()).toEqual([
    [
      'clicked',
      [
        [19_359, 2],
        [19_360, 1],
      ],
    ],
  ])
  expect(await ledger.endRetry(hold)).toEqual({ reasons: { held_back: 4 }, sent: 3, skipped: 0, rejected: 1 })

  async function heldBack() {
    const chunks = []
    for await (const one of ledger.heldBackChunks(run.id)) chunks.push(one)
    return chunks
  }
})

test('counters of rows and bytes beyond what a 32-bit number holds come back as they were', async () => {
  const { ledger, hold, run, chunk, file } = await withRejectedRows()
  const whole = chunk(5)
  await ledger.planChunks(run.id, [whole])
  await server.redis.set(`heapferry:${run.id}-events:${whole.id}:lock`, 'mine')
  const cursor = 98_765_432_109_876
  const tally = { ...emptyTally, read: 10_000_000_001, sent: 10_000_000_000, rejected: { missing_time: 1 } }
  const row = rejectedAt(whole, 7)
  await ledger.commit({ chunk: whole, file, token: 'mine' }, { cursor, tally, done: true }, [row], {
    from: 0,
    counts: [],
  })
  await ledger.settle(hold, 1, [sent(row)])
  expect(await ledger.checkpoint(whole)).toEqual({
    cursor,
    tally: { ...emptyTally, read: 10_000_000_001, sent: 10_000_000_001 },
    done: true,
  })
})

/** As an event of 2023-01-02. */
function sent(row: RejectedRow): RetriedRow {
  return { kind: 'sent', chunk: row.chunk, row: row.row, table: 'clicks', event: 'clicked', day: 19_359 }
}

/** Two chunks of ten rows: rows 1 and 2 of the first and row 11, of the second, were rejected. */
async function withRejectedRows() {
  runs++
  const bench = await rejectingRun(server.redis, `retry-${runs}`)
  const { chunk, end, ledger, run } = bench
  const rows = [rejectedAt(chunk(0), 1), rejectedAt(chunk(0), 2), rejectedAt(chunk(1), 11, { reason: 'damaged_id' })]
  const [first, second, third] = rows
  if (!first || !second || !third) throw new Error('three rows')
  await end(0, { sent: 8, rejected: { missing_time: 2 } }, [first, second])
  await end(1, { sent: 9, rejected: { damaged_id: 1 } }, [third])
  const hold: RetryHold = { run: run.id, token: 'mine' }
  await ledger.takeRetry(hold, 'ada')
  const sentDays = async () => {
    const tables = await ledger.sentTables(run.id)
    const events = tables.flatMap((table) => table.events).toSorted((a, b) => (a.event < b.event ? -1 : 1))
    return events.map(({ event, days }) => [event, [...days]])
  }
  return { ...bench, hold, sentDays, rows: [first, second, third] as const }
}
