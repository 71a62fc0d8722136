import { noPace, phases, type Pulse, type QueueState, type RunProgress } from '@heapferry/domain'
import { troubleOf, workerFault } from '@heapferry/migration'
import { expect, test } from 'vitest'

const nowMs = 1_000_000_000
const idle: QueueState = { waiting: 0, active: 0, failed: 0, paused: false, firstFailure: null }
const waiting: QueueState = { ...idle, waiting: 5 }
const alive: Pulse = {
  worker: 'host:1',
  atMs: nowMs - 500,
  startedAtMs: 0,
  awaits: null,
  memoryBytes: 0,
  rate: 0,
  chunks: [],
  movedAtMs: nowMs - 500,
}
const frozen: Pulse = { ...alive, worker: 'host:2', atMs: nowMs - 12_000 }

test.each<[string, Situation, string[]]>([
  ['a worker works', { pulses: [alive] }, []],
  ['no worker has come within 10 s', {}, ['no_worker']],
  ['the run was started 9 s ago and its workers are on their way', { progress: { wantedAtMs: nowMs - 9000 } }, []],
  [
    'the last worker left a moment ago, as between two phases',
    { progress: { samples: [{ atMs: nowMs - 3000, rowsRead: 1 }] } },
    [],
  ],
  ['the only worker says nothing for 12 s', { pulses: [frozen] }, ['workers_stuck']],
  ['one of two workers says nothing', { pulses: [alive, frozen] }, []],
  ['the queue is paused', { queue: { paused: true }, pulses: [alive] }, ['queue_paused']],
  ['the queue is paused and a chunk is still in hand', { queue: { paused: true, active: 1 }, pulses: [alive] }, []],
  ['every chunk is in the queue or done', { queue: { waiting: 4, failed: 1 }, pulses: [alive] }, []],
  ['a chunk is neither in the queue nor done', { queue: { waiting: 4 }, pulses: [alive] }, ['chunks_lost']],
  [
    'chunks are missing in the queue while more are being cut',
    { queue: { waiting: 4 }, pulses: [alive], sealed: false, progress: { producedAtMs: nowMs - 1000 } },
    [],
  ],
  [
    'not all is cut and the producer has been silent for 11 s',
    { pulses: [alive], sealed: false, progress: { producedAtMs: nowMs - 11_000 } },
    ['plan_incomplete'],
  ],
  ['an older version may still be planning it', { pulses: [alive], sealed: false }, []],
  [
    'somebody has paused it',
    { progress: { intent: { kind: 'pause', by: 'ada', reason: 'on request', hint: '' } } },
    [],
  ],
  ['every chunk is done', { done: 10 }, []],
  ['Redis is full, and nobody can say that he works', { queue: { refusal: 'full' } }, ['redis_full']],
  ['Redis is a replica', { queue: { refusal: 'read_only', waiting: 3 }, pulses: [frozen] }, ['redis_read_only']],
  [
    'Redis forbids writing to whoever looks, and a worker works',
    { queue: { refusal: 'forbidden' }, pulses: [alive] },
    [],
  ],
  ['Redis forbids writing to everybody', { queue: { refusal: 'forbidden' }, pulses: [frozen] }, ['redis_forbidden']],
])('while %s, this is the trouble with a run: %#', (_, situation, kinds) => {
  expect(troubleIn(situation).map(({ kind }) => kind)).toEqual(kinds)
})

test.each<[Situation, string]>([
  [{}, 'No worker works on this run: the same run command starts some, and heapferry worker --run r starts one.'],
  [
    { pulses: [frozen] },
    'The only worker, host:2, has not reported for 12 s. End it and start another with heapferry worker --run r: nothing is lost.',
  ],
  [
    { queue: { paused: true } },
    'The queue was paused from outside heapferry, so no worker takes a chunk: heapferry resume r goes on.',
  ],
  [
    { queue: { waiting: 3 }, pulses: [alive] },
    '2 chunks are neither done nor in the queue. Start the same run command again: it plans what is missing.',
  ],
  [
    { queue: { refusal: 'full' } },
    'Redis is full: its maxmemory is reached. Raise it there (CONFIG SET maxmemory, and in redis.conf), or free memory of other programs. The run goes on by itself then.',
  ],
])('each says what to do: %#', (situation, message) => {
  expect(troubleIn(situation).map((one) => one.message)).toEqual([message])
})

interface Situation {
  progress?: Partial<RunProgress>
  queue?: Partial<QueueState>
  pulses?: Pulse[]
  sealed?: boolean
  done?: number
}

/** Of 10 chunks 5 are done and 5 wait, unless it is said otherwise. */
function troubleIn({ progress, queue, pulses = [], sealed = true, done = 5 }: Situation) {
  const whole: RunProgress = {
    intent: { kind: 'run', by: 'ada', acceptedTables: [] },
    unloading: null,
    transport: null,
    phases: phases.map((phase) =>
      phase === 'identities' ? { phase, sealed: true, planned: 0, done: 0 } : { phase, sealed, planned: 10, done },
    ),
    tables: [],
    samples: [],
    waiting: [],
    pace: noPace,
    nowMs,
    wantedAtMs: 0,
    producedAtMs: null,
    ...progress,
  }
  const queued = { ...waiting, ...queue }
  const workers = pulses.map((pulse) => ({ pulse, fault: workerFault(pulse, whole, queued, nowMs) }))
  return troubleOf('r', { progress: whole, queue: queued, workers }, nowMs)
}
