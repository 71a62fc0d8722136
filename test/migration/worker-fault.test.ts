import { ChunkId, type Intent, noPace, type Pulse, type QueueState, type RunProgress } from '@heapferry/domain'
import { workerFault } from '@heapferry/migration'
import { expect, test } from 'vitest'

const nowMs = 1_000_000
const chunk = { id: ChunkId.parse('0123456789ab-000000'), table: 'clicks', firstRow: 1, rows: 10, read: 5 }
const waits = { waiting: 3, active: 0, failed: 0, paused: false, firstFailure: null }
const empty = { ...waits, waiting: 0 }

test.each<[string, Partial<Pulse>, QueueState, string | null]>([
  [
    'a worker that has committed a batch nine seconds ago is all right',
    { chunks: [chunk], movedAtMs: ago(9) },
    waits,
    null,
  ],
  [
    'a worker that has a chunk in hand and does not move is told within 15 s',
    { chunks: [chunk], movedAtMs: ago(12) },
    waits,
    'has made no progress for 12 s',
  ],
  [
    'a worker that has asked PostHog a minute ago and has no answer yet is all right',
    { chunks: [chunk], movedAtMs: ago(60), awaits: 'sending' },
    waits,
    null,
  ],
  [
    'a worker that reads a slow bucket is all right',
    { chunks: [chunk], movedAtMs: ago(60), awaits: 'reading' },
    waits,
    null,
  ],
  [
    'a worker whose export gives no byte is told',
    { chunks: [chunk], movedAtMs: ago(90), awaits: 'reading' },
    waits,
    'has got no byte of the export for 2 min',
  ],
  [
    'a worker that sends and is neither answered nor waits is told',
    { chunks: [chunk], movedAtMs: ago(90), awaits: 'sending' },
    waits,
    'has made no progress for 2 min',
  ],
  [
    'a worker that takes none of the chunks that wait is told within 15 s',
    { movedAtMs: ago(12) },
    waits,
    'has taken no chunk for 12 s, although 3 are waiting',
  ],
  ['a worker that has nothing to take is all right', { movedAtMs: ago(600) }, empty, null],
  ['a worker that says nothing any more is told', { atMs: ago(20) }, waits, 'has not reported for 20 s'],
])('%s', (_, changes, queue, fault) => {
  expect(workerFault(pulse(changes), going({ kind: 'run', by: 'ada', acceptedTables: [] }), queue, nowMs)).toBe(fault)
})

test('a worker that may not go on is all right', () => {
  const paused = going({ kind: 'pause', by: 'ada', reason: 'lunch', hint: 'resume' })
  expect(workerFault(pulse({ movedAtMs: ago(600) }), paused, waits, nowMs)).toBeNull()
})

function pulse(changes: Partial<Pulse>): Pulse {
  return {
    worker: 'host:1',
    atMs: nowMs,
    startedAtMs: 0,
    awaits: null,
    memoryBytes: 1,
    rate: 0,
    chunks: [],
    movedAtMs: nowMs,
    ...changes,
  }
}

function going(intent: Intent): RunProgress {
  return {
    intent,
    transport: null,
    phases: [],
    tables: [],
    samples: [],
    waiting: [],
    pace: noPace,
    nowMs,
    wantedAtMs: 0,
    producedAtMs: null,
    unloading: null,
  }
}

function ago(seconds: number): number {
  return nowMs - 1000 * seconds
}
