import { emptyTally, noPace, type RunProgress } from '@heapferry/domain'
import { runStatus } from '@heapferry/migration'
import { expect, test } from 'vitest'

const nowMs = 1_000_000_000
const queue = { waiting: 9, active: 1, failed: 0, paused: false, firstFailure: null }

test('without a pace the time left is what is left at the rate of the last 15 s', () => {
  expect(etaOf({ rowsPerSecond: 5000 })).toEqual({ rate: 5000, eta_s: 18 })
  expect(etaOf({ rowsPerSecond: 0 })).toEqual({ rate: 0, eta_s: null })
})

test('when the pace is lowered, the time left follows at once', () => {
  const pace = { limit: 500, effective: 500, reason: null, changedAtMs: nowMs - 100 }
  expect(etaOf({ rowsPerSecond: 5000, pace })).toEqual({ rate: null, eta_s: 180 })
})

test('when the pace is raised, the time left follows at once, and is measured again as soon as it can be', () => {
  const raised = { limit: 3000, effective: 3000, reason: null }
  expect(etaOf({ rowsPerSecond: 100, pace: { ...raised, changedAtMs: nowMs - 500 } })).toEqual({
    rate: null,
    eta_s: 30,
  })
  expect(etaOf({ rowsPerSecond: 2500, pace: { ...raised, changedAtMs: nowMs - 3000 } })).toEqual({
    rate: 2500,
    eta_s: 36,
  })
})

test('what 429 and 5xx leave of the pace counts as well', () => {
  const pace = { limit: 5000, effective: 1000, reason: { kind: 'lowered', status: 429 } as const, changedAtMs: 0 }
  expect(etaOf({ rowsPerSecond: 4000, pace }).eta_s).toBe(90)
})

test('the pace is in events: rows that are skipped are read beside them', () => {
  const pace = { limit: 1000, effective: 1000, reason: null, changedAtMs: nowMs - 100 }
  expect(etaOf({ rowsPerSecond: 5000, pace, sentOf10: 5 }).eta_s).toBe(45)
})

test('a pace that was set long ago tells nothing when no row is read', () => {
  const pace = { limit: 1000, effective: 1000, reason: null, changedAtMs: nowMs - 60_000 }
  expect(etaOf({ rowsPerSecond: null, pace })).toEqual({ rate: null, eta_s: null })
})

/** 10,000 of 100,000 rows are read, at a rate that was the same for a minute (null: none of late). */
function etaOf(what: { rowsPerSecond: number | null; pace?: RunProgress['pace']; sentOf10?: number }) {
  const { rowsPerSecond, pace = noPace, sentOf10 = 10 } = what
  const tally = { ...emptyTally, read: 10_000, sent: sentOf10 * 1000, skipped: { held_back: (10 - sentOf10) * 1000 } }
  const progress: RunProgress = {
    intent: { kind: 'run', by: 'ada', acceptedTables: [] },
    transport: null,
    phases: [
      { phase: 'identities', sealed: true, planned: 0, done: 0 },
      { phase: 'events', sealed: true, planned: 10, done: 1 },
    ],
    tables: [{ phase: 'events', table: 'clicks', planned: 100_000, tally }],
    samples: Array.from({ length: 60 }, (_, n) => ({
      atMs: nowMs - (60 - n) * 1000,
      rowsRead: 10_000 - (rowsPerSecond ?? 0) * (60 - n),
    })).filter(() => rowsPerSecond !== null),
    waiting: [],
    pace,
    nowMs,
    wantedAtMs: 0,
    producedAtMs: null,
    unloading: null,
  }
  const { rate, eta_s } = runStatus('r', progress, { state: { kind: 'running' }, queue, trouble: [] }, nowMs)
  return { rate, eta_s }
}
