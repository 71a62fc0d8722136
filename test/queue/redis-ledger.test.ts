import {
  type Chunk,
  FileId,
  noAnswers,
  phases,
  type Pulse,
  RunId,
  type RunProgress,
  type SentSlice,
} from '@heapferry/domain'
import { type RedisLedger, redisLedger, redisPacer } from '@heapferry/queue'
import { expect, test, vi } from 'vitest'
import { outgoingEvents } from '../posthog/outgoing-events.ts'
import { chunkOf, fileOf, runOf } from '../support/chunk.ts'
import { MemoryLedger } from '../support/memory-ledger.ts'
import { redisForTests } from '../support/redis.ts'
import { setClock } from '../support/set-clock.ts'
import { chunkLedgerContract, rejectedRow, tally } from './chunk-ledger-contract.ts'

const { redis } = lazily(redisForTests())
let runs = 0
const pulse: Pulse = {
  worker: 'host:1',
  atMs: 5000,
  startedAtMs: 1,
  memoryBytes: 2,
  rate: 3,
  chunks: [],
  movedAtMs: 4000,
  awaits: null,
}

chunkLedgerContract('the ledger in Redis', async () => {
  const ledger = redisLedger(redis())
  const run = newRun()
  return {
    ledger,
    run,
    hold,
    async sent() {
      const events = (await ledger.sentTables(run)).flatMap((table) => table.events)
      return Object.fromEntries(
        events.flatMap(({ event, days }) => [...days].map(([day, count]) => [`${event} ${day}`, count])),
      )
    },
  }
})
chunkLedgerContract('the ledger in memory', async () => {
  const ledger = new MemoryLedger()
  return {
    ledger,
    run: newRun(),
    hold: (chunk, token) => ledger.hold(chunk, token),
    sent: async () => Object.fromEntries(ledger.sent),
  }
})

test('what was sent is counted by table, however names look', async () => {
  const ledger = redisLedger(redis())
  const run = newRun()
  const file = fileOf('a|b","c')
  const chunk = chunkOf(run, file, 0)
  await hold(chunk, 'mine')
  const claim = { chunk, file, token: 'mine' }
  const counts = [
    { event: '$pageview', day: 0, count: 1 },
    { event: 'ä|,"\\', day: 31, count: 2 },
  ]
  await ledger.commit(claim, { cursor: 5, tally: tally(3), done: false }, [], { from: 0, counts })
  expect(await ledger.sentTables(run)).toEqual([
    {
      table: 'a|b","c',
      rows: 3,
      events: expect.arrayContaining([
        { event: '$pageview', days: new Map([[0, 1]]) },
        { event: 'ä|,"\\', days: new Map([[31, 2]]) },
      ]),
    },
  ])
})

test('nothing is committed for a run that was forgotten, or created anew under its name, whoever holds the chunk', async () => {
  const ledger = redisLedger(redis())
  const run = newRun()
  const { createdAtMs } = await ledger.createRun(runOf(run), 'ada')
  const file = fileOf('clicks')
  const claim = { chunk: chunkOf(run, file, 0), file, token: 'mine', runCreatedAtMs: createdAtMs }
  await hold(claim.chunk, 'mine')
  const commit = (cursor: number) =>
    ledger.commit(claim, { cursor, tally: tally(3), done: false }, [], { from: 0, counts: [] })
  expect(await commit(5)).toMatchObject({ kind: 'committed' })

  await redis().del(...(await redis().keys(`heapferry-ledger:run:${run}*`)))
  expect(await commit(6)).toEqual({ kind: 'other_run' })
  await ledger.createRun(runOf(run, { createdAtMs: createdAtMs + 1 }), 'ada')
  expect(await commit(6)).toEqual({ kind: 'other_run' })
  expect(await ledger.checkpoint(claim.chunk)).toBeNull()
  expect((await ledger.progress(run)).tables).toEqual([])
})

test('with more different events than fit the rows are still tallied, and the counts say that they are not all', async () => {
  const { ledger, run, commit } = await planned()
  const fields = Array.from({ length: 40_000 }, (_, index) => [`field ${index}`, '1']).flat()
  await redis().hset(`heapferry-ledger:run:${run}:sent`, '["clicks","click",0]', '1', ...fields.slice(2))
  const counts = ['click', 'one too many'].map((event) => ({ event, day: 0, count: 1 }))
  await commit('clicks', 0, 5, tally(2), false, [], counts)
  expect(await redis().hlen(`heapferry-ledger:run:${run}:sent`)).toBe(40_000)
  expect(await redis().hget(`heapferry-ledger:run:${run}:sent`, '["clicks","click",0]')).toBe('2')
  expect((await ledger.progress(run)).tables).toMatchObject([{ table: 'clicks', tally: { sent: 2 } }])
})

test('totals are exact although commits are repeated, and add up over chunks and tables', async () => {
  const { ledger, run, commit } = await planned()
  const skipped = { held_back: 2 }
  const rejected = { missing_time: 1 }
  const warned = { person_processing_disabled: 5, other: 1 }
  await commit('clicks', 0, 5, tally(3, { warned: { other: 1 } }))
  await commit('clicks', 0, 5, tally(3))
  await commit('clicks', 0, 10, { read: 10, sent: 7, skipped, rejected, warned }, true)
  await commit('clicks', 1, 10, tally(10, { warned: { person_processing_disabled: 1, other: 2 } }), true)
  await commit('users', 0, 10, tally(4), true)
  const { tables, phases: progress } = await ledger.progress(run)
  expect(tables).toEqual([
    {
      table: 'clicks',
      phase: null,
      planned: 0,
      tally: { read: 20, sent: 17, skipped, rejected, warned: { person_processing_disabled: 6, other: 3 } },
    },
    { table: 'users', phase: null, planned: 0, tally: tally(4) },
  ])
  expect(progress.map(({ phase, done }) => [phase, done])).toEqual([
    ['identities', 1],
    ['events', 2],
  ])
})

test('a rejected row that is committed again stands once', async () => {
  const { ledger, run, commit } = await planned()
  const chunk = chunkOf(run, fileOf('clicks'), 0)
  await commit('clicks', 0, 5, tally(1), false, [rejectedRow(chunk, 3)])
  await commit('clicks', 0, 9, tally(2), false, [rejectedRow(chunk, 3), { ...rejectedRow(chunk, 8), row: 2 }])
  const bytes = []
  for await (const row of ledger.rejectedRows(run)) bytes.push(row.byte)
  expect(bytes.toSorted((a, b) => a - b)).toEqual([3, 8])
})

test('a file that is planned twice is counted once', async () => {
  const { ledger, run } = await planned()
  const file = fileOf('clicks')
  await ledger.planFile(run, file, { chunks: 3, rows: 100 })
  await ledger.planFile(run, file, { chunks: 3, rows: 100 })
  const progress = await ledger.progress(run)
  expect(progress.tables).toEqual([{ table: 'clicks', phase: 'events', planned: 100, tally: tally(0) }])
  expect(eventsOf(progress)).toMatchObject({ planned: 3, sealed: false })
})

test('a run that exists keeps what it was created with', async () => {
  const ledger = redisLedger(redis())
  const run = runOf(newRun(), { createdAtMs: 1 })
  await ledger.createRun(run, 'ada')
  expect(await ledger.createRun({ ...run, createdAtMs: 2 }, 'bob')).toEqual(run)
})

test('a commit answers what is wanted of the run', async () => {
  const { ledger, run, commit } = await planned()
  const intent = { kind: 'pause', by: 'ada', reason: 'lunch', hint: 'resume' } as const
  await ledger.setIntent(run, intent)
  expect(await commit('clicks', 0, 5, tally(1))).toEqual({ kind: 'committed', intent })
})

test('a phase is sealed only when the ledger holds its whole plan', async () => {
  const { ledger, run } = await planned()
  await ledger.planFile(run, fileOf('clicks'), { chunks: 3, rows: 100 })
  expect(await ledger.seal(run, 'events', 5)).toBe(false)
  expect(await ledger.seal(run, 'events', 3)).toBe(true)
  await ledger.unseal(run, 'events')
  expect(eventsOf(await ledger.progress(run))).toMatchObject({ sealed: false })
})

test('heapferry pauses a run that is wanted to run, and overrules no person', async () => {
  const { ledger, run } = await planned()
  const pause = { kind: 'pause', by: 'heapferry', reason: 'key refused', hint: 'check it' } as const
  await ledger.pauseIfRunning(run, pause)
  expect(await ledger.intent(run)).toEqual(pause)
  await ledger.setIntent(run, { kind: 'cancel', by: 'ada' })
  await ledger.pauseIfRunning(run, pause)
  expect(await ledger.intent(run)).toEqual({ kind: 'cancel', by: 'ada' })
})

test('the timeline tells who created, paused and resumed a run, and not what changed nothing', async () => {
  const { ledger, run } = await planned()
  await ledger.setIntent(run, { kind: 'pause', by: 'ada', reason: 'lunch', hint: 'resume' })
  await ledger.pauseIfRunning(run, { kind: 'pause', by: 'heapferry', reason: 'key refused', hint: 'check it' })
  await ledger.setIntent(run, { kind: 'run', by: 'bob', acceptedTables: [] })
  expect(await ledger.timeline(run)).toMatchObject([
    { kind: 'created', by: 'ada' },
    { kind: 'paused', by: 'ada', reason: 'lunch' },
    { kind: 'resumed', by: 'bob' },
  ])
})

test('an entry of the timeline that cannot be read is told as that, and hides no other', async () => {
  const { ledger, run } = await planned()
  const written = [
    '{"kind":"pace_changed","atMs":5,"by":"ada","from":7,"to":""}',
    '{"kind":"resumed","atMs":9e99}',
    '{"ki',
    '',
  ]
  await redis().rpush(`heapferry-ledger:run:${run}:timeline`, ...written)
  await ledger.setIntent(run, { kind: 'run', by: 'bob', acceptedTables: [] })
  expect(await ledger.timeline(run)).toMatchObject([
    { kind: 'created', by: 'ada' },
    { kind: 'unreadable', atMs: 5, text: written[0] },
    { kind: 'unreadable', atMs: 5, text: written[1] },
    { kind: 'unreadable', atMs: 5, text: '{"ki' },
    { kind: 'unreadable', atMs: 5, text: '' },
    { kind: 'resumed', by: 'bob' },
  ])
})

test('what cannot be a pace is never stored, and the empty one of an older version is no limit', async () => {
  const { ledger, run } = await planned()
  // @ts-expect-error what a program may do all the same
  await expect(ledger.setPace(run, '', 'ada')).rejects.toThrow()
  await expect(ledger.setPace(run, 0.5, 'ada')).rejects.toThrow()
  // @ts-expect-error the same
  await expect(ledger.record(run, { kind: 'pace_changed', atMs: 5, by: 'ada', from: 7, to: '' })).rejects.toThrow()
  expect((await ledger.timeline(run)).map(({ kind }) => kind)).toEqual(['created'])

  await redis().hset(`heapferry-ledger:run:${run}:pace`, 'limit', '', 'changedAtMs', '5')
  expect((await ledger.progress(run)).pace).toMatchObject({ limit: null, effective: null })
  const events = outgoingEvents(20)
  expect(await redisPacer(redis(), run, 5000).take(events, AbortSignal.timeout(2000))).toBe(20)
  await ledger.setPace(run, 7, 'bob')
  expect((await ledger.timeline(run)).at(-1)).toMatchObject({ kind: 'pace_changed', from: null, to: 7 })
})

test('a phase is completed once in the timeline, whichever comes last: its seal or its last commit', async () => {
  const { ledger, run, commit } = await planned()
  await ledger.planFile(run, fileOf('clicks'), { chunks: 2, rows: 20 })
  await commit('clicks', 0, 5, tally(10), true)
  await commit('clicks', 1, 5, tally(10), true)
  expect(await completedPhases(ledger, run)).toEqual([])
  await ledger.seal(run, 'events', 2)
  await ledger.seal(run, 'events', 2)
  expect(await completedPhases(ledger, run)).toEqual(['events'])

  await ledger.planFile(run, { ...fileOf('users'), id: FileId.parse('0123456789cd') }, { chunks: 1, rows: 10 })
  await ledger.seal(run, 'identities', 1)
  await commit('users', 0, 5, tally(10), true)
  await commit('users', 0, 5, tally(10), true)
  expect(await completedPhases(ledger, run)).toEqual(['events', 'identities'])
})

test('the history of a run keeps its first and its latest point, in bounded space', async () => {
  const { ledger, run, commit } = await planned()
  await commit('clicks', 0, 1, tally(5, { rejected: { missing_time: 2 }, read: 7 }))
  const [first] = await ledger.history(run)
  expect(first).toMatchObject({ read: 7, sent: 5, rejected: 2 })
  const { history } = runKeysOf(run)
  // A long run, written as the script writes it.
  const old = Array.from({ length: 1439 }, (_, index) => `${1000 + index}:${8 + index}:6:2`)
  await redis().rpush(history, ...old)
  await redis().hset(runKeysOf(run).run, 'historyAtMs', 0)
  await commit('clicks', 0, 2, tally(6, { rejected: { missing_time: 2 }, read: 8 }))
  const thinned = await ledger.history(run)
  expect(thinned.length).toBe(721)
  expect(thinned[0]).toEqual(first)
  expect(thinned.at(-1)).toMatchObject({ read: 8, sent: 6 })
  expect(await redis().hget(runKeysOf(run).run, 'historyEveryMs')).toBe('2000')
})

test('pulses are of workers that have said something in the last minute', async () => {
  const { ledger, run } = await planned()
  await ledger.setPulse(run, pulse)
  await ledger.setPulse(run, { ...pulse, worker: 'host:2' })
  const { pulses } = runKeysOf(run)
  const said = JSON.parse((await redis().hget(pulses, 'host:2')) ?? '')
  await redis().hset(pulses, 'host:2', JSON.stringify({ ...said, atMs: said.atMs - 61_000 }))
  await ledger.setPulse(run, { ...pulse, worker: 'host:3' })
  await ledger.removePulse(run, 'host:3')
  const [only, ...others] = await ledger.pulses(run)
  expect(others).toEqual([])
  expect({ ...only, atMs: pulse.atMs, movedAtMs: pulse.movedAtMs }).toEqual(pulse)
})

test.each([
  ['ahead', 3_600_000],
  ['behind', -3_600_000],
])('what a machine says whose clock is an hour %s is as old as it is, by the clock of all', async (_, byMs) => {
  const { ledger, run, commit } = await planned()
  const beforeMs = await ledger.nowMs(run)
  setClock(byMs)
  const nowMs = Date.now()
  await ledger.setPulse(run, { ...pulse, atMs: nowMs, movedAtMs: nowMs - 7000 })
  const sinceMs = Math.round(performance.now()) - 5000
  await ledger.setWaiting(run, 'host:1', { sinceMs, retryAtMs: sinceMs + 9000, detail: '503' })
  await ledger.producing(run)
  await ledger.setPace(run, 50, 'ada')
  await ledger.pauseIfRunning(run, { kind: 'pause', by: 'ada', reason: 'lunch', hint: 'resume' })
  await ledger.setIntent(run, { kind: 'run', by: 'ada', acceptedTables: [] })
  await commit('clicks', 0, 1, tally(4, { read: 4 }))
  await ledger.setTransport(run, 'batch', 'asked for')
  vi.useRealTimers()

  const [found] = await ledger.pulses(run)
  const progress = await ledger.progress(run)
  const [waits] = progress.waiting
  if (!found || !waits) throw new Error('a pulse or a wait was forgotten')
  expect(found.atMs - found.movedAtMs).toBe(7000)
  expect(waits.retryAtMs - waits.sinceMs).toBe(9000)
  const timeline = (await ledger.timeline(run)).filter(({ kind }) => kind !== 'created')
  expect(timeline.map(({ kind }) => kind)).toEqual(['pace_changed', 'paused', 'resumed', 'transport_chosen'])
  const moments = [
    found.atMs,
    waits.sinceMs + 5000,
    progress.producedAtMs ?? 0,
    progress.wantedAtMs,
    progress.pace.changedAtMs,
    ...progress.samples.map(({ atMs }) => atMs),
    ...timeline.map(({ atMs }) => atMs),
  ]
  expect(moments.length).toBe(10)
  for (const moment of moments) {
    // A machine that puts its clock right does so by milliseconds, and of the clocks that are asked here one does not follow.
    expect(moment).toBeGreaterThan(beforeMs - 100)
    expect(moment).toBeLessThan(progress.nowMs + 100)
  }
})

test('a clock of Redis that was set back stops neither rate nor history, and makes no dead worker live', async () => {
  const { ledger, run, commit } = await planned()
  const futureMs = (await ledger.nowMs(run)) + 3_600_000
  await redis().hset(runKeysOf(run).run, { sampledAtMs: futureMs, historyAtMs: futureMs })
  await redis().hset(runKeysOf(run).pulses, 'host:1', JSON.stringify({ ...pulse, atMs: futureMs }))
  await commit('clicks', 0, 1, tally(4, { read: 4 }))
  expect((await ledger.progress(run)).samples.length).toBe(1)
  expect(await ledger.latestPoint(run)).toMatchObject({ read: 4 })
  expect(await ledger.pulses(run)).toEqual([])
})

test('answers of all workers add up', async () => {
  const { ledger, run } = await planned()
  const byTime = noAnswers.byTime.with(2, 3)
  expect(await ledger.answers(run)).toEqual(noAnswers)
  await ledger.addAnswers(run, { byStatus: { 200: 2, 429: 1 }, byTime, totalMs: 30 })
  await ledger.addAnswers(run, { byStatus: { 200: 1, none: 2 }, byTime, totalMs: 12 })
  expect(await ledger.answers(run)).toEqual({
    byStatus: { 200: 3, 429: 1, none: 2 },
    byTime: noAnswers.byTime.with(2, 6),
    totalMs: 42,
  })
})

test('how events are sent is in the progress, and in the timeline once for each change', async () => {
  const { ledger, run } = await planned()
  expect((await ledger.progress(run)).transport).toBeNull()
  await ledger.setTransport(run, 'v1', 'it is there')
  await ledger.setTransport(run, 'v1', 'it is there')
  await ledger.setTransport(run, 'batch', 'it is gone')
  expect((await ledger.progress(run)).transport).toBe('batch')
  expect(await ledger.timeline(run)).toMatchObject([
    { kind: 'created' },
    { kind: 'transport_chosen', transport: 'v1', reason: 'it is there' },
    { kind: 'transport_chosen', transport: 'batch', reason: 'it is gone' },
  ])
})

test('a checkpoint of a version without warnings is gone on from', async () => {
  const { ledger, run, commit } = await planned()
  const { warned: _, ...old } = tally(3)
  const { id } = chunkOf(run, fileOf('clicks'), 0)
  await redis().hset(
    `heapferry-ledger:run:${run}:checkpoints`,
    id,
    JSON.stringify({ cursor: 5, tally: old, done: false }),
  )
  expect(await ledger.checkpoint(chunkOf(run, fileOf('clicks'), 0))).toMatchObject({ tally: tally(3) })
  await commit('clicks', 0, 10, tally(7, { warned: { other: 1 } }))
  expect((await ledger.progress(run)).tables).toEqual([
    { table: 'clicks', phase: null, planned: 0, tally: { ...tally(4), warned: { other: 1 } } },
  ])
})

test('two rejected rows of one block, which start at the same byte, are both kept', async () => {
  const { ledger, run, commit } = await planned()
  const row = rejectedRow(chunkOf(run, fileOf('clicks'), 0), 3)
  const rows = [row, { ...row, row: 2 }]
  await commit('clicks', 0, 5, tally(0, { read: 2, rejected: { missing_time: 2 } }), false, rows)
  const stored = []
  for await (const one of ledger.rejectedRows(run)) stored.push(one.row)
  expect(stored.toSorted((a, b) => a - b)).toEqual([1, 2])
})

test('the phases are sealed one by one', async () => {
  const { ledger, run } = await planned()
  expect(await ledger.seal(run, 'identities', 0)).toBe(true)
  expect((await ledger.progress(run)).phases.map(({ sealed }) => sealed)).toEqual([true, false])
  expect(phases).toEqual(['identities', 'events'])
})

async function planned() {
  const ledger = redisLedger(redis())
  const { id: run } = await ledger.createRun(runOf(newRun()), 'ada')
  return {
    ledger,
    run,
    async commit(
      table: string,
      index: number,
      cursor: number,
      counts = tally(0),
      done = false,
      rejected = [] as ReturnType<typeof rejectedRow>[],
      counted: SentSlice['counts'] = [],
    ) {
      const file = fileOf(table)
      const chunk = chunkOf(run, file, index)
      // Chunks of two files of this test may have one number: the table tells them apart.
      const named = table === 'users' ? { ...chunk, id: chunkOf(run, file, index + 100).id } : chunk
      await hold(named, 'mine', table)
      const sent = { from: (await ledger.checkpoint(named))?.cursor ?? 0, counts: counted }
      return ledger.commit({ chunk: named, file, token: 'mine' }, { cursor, tally: counts, done }, rejected, sent)
    },
  }
}

/** As BullMQ does for the job of a chunk. */
async function hold(chunk: Chunk, token: string, table = 'clicks'): Promise<void> {
  const phase = table === 'users' ? 'identities' : 'events'
  await redis().set(`heapferry:${chunk.run}-${phase}:${chunk.id}:lock`, token)
}

async function completedPhases(ledger: RedisLedger, run: RunId): Promise<string[]> {
  return (await ledger.timeline(run)).flatMap((entry) => (entry.kind === 'phase_completed' ? [entry.phase] : []))
}

function runKeysOf(run: RunId) {
  const base = `heapferry-ledger:run:${run}`
  return { run: base, history: `${base}:history`, pulses: `${base}:pulses` }
}

function newRun() {
  runs++
  return RunId.parse(`run-${runs}`)
}

function eventsOf({ phases: all }: RunProgress) {
  return all.find(({ phase }) => phase === 'events')
}

function lazily(server: ReturnType<typeof redisForTests>) {
  return { redis: () => server.redis }
}

test('one producer at a time unloads a warehouse for a run, until it gives that back', async () => {
  const { ledger, run } = await planned()
  expect(await ledger.holdUnloading(run, 'one')).toBe(true)
  expect(await ledger.holdUnloading(run, 'other')).toBe(false)
  expect(await ledger.holdUnloading(run, 'one')).toBe(true)
  await ledger.releaseUnloading(run, 'other')
  expect(await ledger.holdUnloading(run, 'other')).toBe(false)
  // Of one that was killed it is forgotten.
  expect(await redis().pttl(`heapferry-ledger:run:${run}:unloader`)).toBeGreaterThan(0)
  await ledger.releaseUnloading(run, 'one')
  expect(await ledger.holdUnloading(run, 'other')).toBe(true)
})

test('how far a warehouse is unloaded is known until it is whole', async () => {
  const { ledger, run } = await planned()
  const unloaded = { table: 'taps', rows: 1, of: 2, sinceMs: 3, sinceRows: 0, waiting: 'no room' }
  await ledger.setUnloading(run, unloaded)
  expect((await ledger.progress(run)).unloading).toEqual(unloaded)
  await ledger.setUnloading(run, null)
  expect((await ledger.progress(run)).unloading).toBeNull()
})
