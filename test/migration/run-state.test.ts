import {
  type Intent,
  noPace,
  type PaceReason,
  type Phase,
  phases,
  type QueueState,
  type RunProgress,
  type Tally,
} from '@heapferry/domain'
import { isRunComplete, rejectedTooMany, runState, runStatus, wantedToGoOn } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { runOf } from '../support/chunk.ts'

const going: Intent = { kind: 'run', by: 'ada', acceptedTables: [] }
const idle: QueueState = { waiting: 0, active: 0, failed: 0, paused: false, firstFailure: null }
const run = runOf('states', { maxRejectedPercent: 1 })

test.each([
  ['nothing is planned', progressOf({ sealed: [], read: 0 }), idle, 'planning'],
  ['rows are being read', progressOf({ read: 50 }), { ...idle, active: 1 }, 'running'],
  ['all rows are read and a chunk is not done', progressOf({ read: 100 }), { ...idle, active: 1 }, 'completing'],
  ['every chunk is done', progressOf({ read: 100, done: 10 }), idle, 'completed'],
  [
    'every chunk is done and rows were rejected',
    progressOf({ read: 100, done: 10, rejected: 1 }),
    idle,
    'completed_with_rejected_rows',
  ],
  ['a chunk has failed and others go on', progressOf({ read: 50 }), failed({ active: 1 }), 'running'],
  ['a chunk has failed and nothing else is left', progressOf({ read: 50 }), failed({}), 'failed'],
  [
    'a worker has waited for PostHog for three seconds',
    { ...progressOf({ read: 50 }), waiting: [waiting()], nowMs: 4000 },
    idle,
    'waiting_for_posthog',
  ],
  [
    'a worker has waited for PostHog for less',
    { ...progressOf({ read: 50 }), waiting: [waiting()], nowMs: 3999 },
    idle,
    'running',
  ],
] as const)('while %s a run is %s', (_, progress, queue, state) => {
  expect(runState(progress, queue).kind).toBe(state)
})

const unloading = { table: 'taps', rows: 2500, of: 10_000, sinceMs: 0, sinceRows: 500, waiting: null }

test('a warehouse that is unloaded is told with its rate and the time left, also when events are sent already', () => {
  const sealed = { phases: phases.map((phase) => ({ phase, sealed: false, planned: 0, done: 0 })) }
  const nothingRead = { ...progressOf({ read: 0 }), ...sealed, nowMs: 20_000, unloading }
  expect(statusOf(nothingRead, idle)).toMatchObject({
    state: 'unloading',
    message: 'Unloading the warehouse: 25%, 2,500 of 10,000 rows, 100/s, 1 min left, now taps.',
    unloading: { table: 'taps', rows: 2500, of: 10_000, rate: 100, eta_s: 75, waiting: null },
  })
  const waits = { ...nothingRead, unloading: { ...unloading, waiting: 'too many connections' } }
  expect(statusOf(waits, idle).message).toContain('; waiting for the warehouse (too many connections).')
  const running = { ...progressOf({ read: 50 }), ...sealed, nowMs: 20_000, unloading }
  expect(statusOf(running, idle).message).toMatch(/^Running, phase \d of 2: .*\. Unloading the warehouse: 25%/)
  expect(statusOf(progressOf({ read: 50 }), idle).unloading).toBeNull()
})

test.each([
  ['fewer', 80, '20 rows are unaccounted for (clicks: 20)'],
  ['one fewer', 99, '1 row is unaccounted for (clicks: 1)'],
  ['more', 1100, '1,000 rows are counted that nobody planned (clicks: 1,000)'],
])(
  'with every chunk done and %s rows than were planned, a run is not complete, and says what to do',
  (_, read, why) => {
    const progress = progressOf({ read, done: 10 })
    expect(isRunComplete(progress)).toBe(false)
    expect(statusOf(progress, idle)).toMatchObject({
      state: 'failed',
      message: expect.stringMatching(/^Failed: .*--run NAME/),
    })
    expect(statusOf(progress, idle).message).toContain(why)
  },
)

test('rows of one table that are too many do not make up for those that another lacks', () => {
  const progress = progressOf({ read: 80, done: 10 })
  const taps = progressOf({ read: 120 }).tables.map((table) => ({ ...table, table: 'taps' }))
  expect(statusOf({ ...progress, tables: [...progress.tables, ...taps] }, idle).message).toContain(
    '20 rows are unaccounted for (clicks: 20), and 20 rows are counted that nobody planned (taps: 20)',
  )
})

test('a run that is paused is pausing as long as workers have chunks in hand', () => {
  const intent = { kind: 'pause', by: 'ada', reason: 'on request', hint: 'resume it' } as const
  const progress = { ...progressOf({ read: 50 }), intent }
  const pausing = statusOf(progress, { ...idle, active: 2 })
  expect(pausing).toMatchObject({
    state: 'pausing',
    message: 'Pausing, as requested by ada: workers are finishing the current batches of 2 chunks.',
  })
  expect(statusOf(progress, idle)).toMatchObject({ state: 'paused', message: expect.stringContaining('resume it') })
})

test.each<[PaceReason, string]>([
  [{ kind: 'retry_after', leftMs: 3_599_900 }, 'PostHog wants no request for another 1 h 0 min'],
  [{ kind: 'lowered', status: 503 }, 'PostHog answered 503'],
  [{ kind: 'busy_id' }, 'one distinct_id has more than 5,000 events a minute'],
])('a status says why events go slower than the pace: %j', (reason, text) => {
  const pace = { limit: 100, effective: 50, reason, changedAtMs: 0 }
  expect(statusOf({ ...progressOf({ read: 50 }), pace }, idle).pace).toEqual({
    limit: 100,
    effective: 50,
    reason: text,
  })
})

test('the details name what each worker waits for, and why the first chunk failed', () => {
  const progress = { ...progressOf({ read: 50 }), waiting: [waiting()] }
  expect(statusOf(progress, failed({})).details).toEqual([
    'identities: 0 of 0 chunks done',
    'events: 5 of 10 chunks done',
    'queue: 0 waiting, 0 in progress, 1 failed',
    'first failure: clicks 1: disk on fire',
    'waiting since 1970-01-01T00:00:01.000Z, will ask again at 1970-01-01T00:00:02.000Z: 503: busy',
  ])
})

test.each([
  ['99 of 9,999 rows', { read: 9999, rejected: 99 }, false],
  ['9,999 of 9,999 rows, which are too few to judge by', { read: 9999, rejected: 9999 }, false],
  ['100 of 10,000 rows, which is the limit', { read: 10_000, rejected: 100 }, false],
  ['101 of 10,000 rows', { read: 10_000, rejected: 101 }, true],
])('with %s rejected, a run pauses itself: %#', (_, counts, pauses) => {
  expect(rejectedTooMany(run, progressOf(counts)) !== null).toBe(pauses)
})

test('a run that pauses itself says of which table how many rows were rejected, and how to go on', () => {
  expect(rejectedTooMany(run, progressOf({ read: 20_000, rejected: 500 }))).toEqual({
    kind: 'pause',
    by: 'heapferry',
    reason: '500 of 20,000 rows of clicks were rejected (2.5%), more than the 1% that the run allows',
    hint: 'heapferry rejected states says why. To go on without them: heapferry resume states',
  })
})

test('who resumes a run accepts the tables that paused it, and no other', () => {
  const progress = progressOf({ read: 20_000, rejected: 500 })
  const intent = wantedToGoOn(run, progress, 'bob')
  expect(intent).toEqual({ kind: 'run', by: 'bob', acceptedTables: ['clicks'] })
  expect(rejectedTooMany(run, { ...progress, intent })).toBeNull()
  const [clicks] = progress.tables
  const tables = clicks ? [clicks, { ...clicks, table: 'signups' }] : []
  expect(rejectedTooMany(run, { ...progress, intent, tables })?.reason).toContain('signups')
})

test('a limit of 100 % pauses no run', () => {
  const lenient = runOf('lenient', { maxRejectedPercent: 100 })
  expect(rejectedTooMany(lenient, progressOf({ read: 20_000, rejected: 20_000 }))).toBeNull()
})

function progressOf(
  counts: { sealed?: readonly Phase[]; read?: number; done?: number; rejected?: number } = {},
): RunProgress {
  const { sealed = phases, read = 0, done = 5, rejected = 0 } = counts
  const tally: Tally = {
    read,
    sent: read - rejected,
    skipped: {},
    warned: {},
    rejected: rejected === 0 ? {} : { missing_time: rejected },
  }
  return {
    intent: going,
    transport: null,
    phases: phases.map((phase) => ({
      phase,
      sealed: sealed.includes(phase),
      planned: phase === 'events' ? 10 : 0,
      done: phase === 'events' ? done : 0,
    })),
    tables: [{ phase: 'events', table: 'clicks', planned: 100, tally }],
    samples: [],
    waiting: [],
    pace: noPace,
    nowMs: 0,
    wantedAtMs: 0,
    producedAtMs: null,
    unloading: null,
  }
}

function failed(changes: Partial<QueueState>): QueueState {
  return { ...idle, failed: 1, firstFailure: 'clicks 1: disk on fire', ...changes }
}

function waiting() {
  return { sinceMs: 1000, retryAtMs: 2000, detail: '503: busy' }
}

function statusOf(progress: RunProgress, queue: QueueState) {
  return runStatus('states', progress, { state: runState(progress, queue), queue, trouble: [] }, 0)
}
