import { setImmediate } from 'node:timers/promises'
import {
  type Checkpoint,
  emptyTally,
  type EventSink,
  type OutgoingEvent,
  type ReadRow,
  type Refusal,
  RunId,
  type Slice,
  type Tally,
} from '@heapferry/domain'
import { type ChunkWork, findNoSessions, processChunk } from '@heapferry/migration'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { chunkOf, columns, fileOf } from '../support/chunk.ts'
import { MemoryLedger } from '../support/memory-ledger.ts'
import { tries } from '../support/tries.ts'
import { writing } from '../support/writing.ts'

const file = fileOf('clicks')
const never = new AbortController().signal

test('whatever accidents happen between reading, sending and committing, every row is sent and counted once', async () => {
  const accident = fc.constantFrom(
    'before_send',
    'after_send',
    'before_commit',
    'after_commit',
    'stop',
    'none' as const,
  )
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 30 }),
      fc.integer({ min: 1, max: 7 }),
      fc.integer({ min: 1, max: 5 }),
      fc.array(accident, { maxLength: 20 }),
      fc.infiniteStream(fc.integer({ min: 0, max: 4 })),
      async (rows, sliceRows, slicesAtOnce, accidents, turns) => {
        const bench = workbench(rows, sliceRows, [...accidents], slicesAtOnce)
        bench.onRequest = () => anyTurns(turns.next().value ?? 0)
        await bench.untilFinished()
        expect(bench.stored()).toEqual(rowsSent(rows))
        expect(await bench.tally()).toEqual({ ...emptyTally, read: rows, sent: rows })
        expect(bench.ledger.sent).toEqual(rowsByDay(rows))
      },
    ),
    { numRuns: tries(500) },
  )
})

test('as many slices as may are on their way at once, and are committed in their order, whichever is answered first', async () => {
  const bench = workbench(20, 2, [], 3)
  const answers: (() => void)[] = []
  bench.onRequest = () => new Promise((resolve) => answers.push(resolve))
  const ended = bench.once()
  await expect.poll(() => answers.length, { interval: 1 }).toBe(3)
  answers[2]?.()
  answers[1]?.()
  await anyTurns(5)
  // Nothing moves on past the first.
  expect(bench.requests).toHaveLength(3)
  expect(await bench.tally()).toBeUndefined()
  answers[0]?.()
  await expect.poll(() => answers.length, { interval: 1 }).toBe(6)
  expect(await bench.tally()).toMatchObject({ read: 6 })
  bench.onRequest = () => Promise.resolve()
  for (const answer of answers) answer()
  expect(await ended).toEqual({ kind: 'finished' })
  expect(bench.requests).toHaveLength(10)
})

test('a slice is sent when the one before it has left, and no sooner', async () => {
  const bench = workbench(20, 2, [], 3)
  const waiting: (() => void)[] = []
  const answers: (() => void)[] = []
  bench.leave = (onLeft) => waiting.push(onLeft)
  bench.onRequest = () => new Promise((resolve) => answers.push(resolve))
  const ended = bench.once()
  await expect.poll(() => waiting.length, { interval: 1 }).toBe(1)
  await anyTurns(5)
  expect(bench.requests).toHaveLength(1)
  waiting[0]?.()
  await expect.poll(() => bench.requests.length, { interval: 1 }).toBe(2)
  bench.onRequest = () => Promise.resolve()
  for (const answer of answers) answer()
  expect(await ended).toEqual({ kind: 'finished' })
})

test('of two rows with one uuid, the later is sent when the first is answered, however many may be on their way', async () => {
  const bench = workbench(8, 2, [], 4)
  bench.uuid = (id) => (id === '5' ? '2' : id)
  const answers: (() => void)[] = []
  bench.onRequest = () => new Promise((resolve) => answers.push(resolve))
  const ended = bench.once()
  await expect.poll(() => answers.length, { interval: 1 }).toBe(2)
  await anyTurns(5)
  expect(bench.requests).toEqual([
    ['1', '2'],
    ['3', '4'],
  ])
  answers[0]?.()
  await expect.poll(() => answers.length, { interval: 1 }).toBe(4)
  expect(bench.requests[2]).toEqual(['2', '6'])
  for (const answer of answers) answer()
  expect(await ended).toEqual({ kind: 'finished' })
})

test('what cannot be read costs nothing that was on its way before it', async () => {
  const bench = workbench(20, 4, [], 4)
  bench.readFailsAt = 12
  bench.onRequest = () => anyTurns(3)
  await expect(bench.once()).rejects.toThrow('the disk is gone')
  expect(await bench.tally()).toMatchObject({ read: 12, sent: 12 })
})

test('behind a slice that fails nothing is committed, and nothing is on its way when the chunk is given back', async () => {
  const bench = workbench(20, 4, ['none', 'before_send'], 4)
  bench.onRequest = () => anyTurns(5)
  await expect(bench.once()).rejects.toThrow(Crash)
  expect(await bench.tally()).toMatchObject({ read: 4 })
  expect(bench.inFlight()).toBe(0)
  await bench.untilFinished()
  expect(bench.stored()).toEqual(rowsSent(20))
})

test('after a pause no slice is begun, and what has arrived by then is committed', async () => {
  const bench = workbench(40, 4, [], 3)
  bench.onRequest = () => anyTurns(2)
  bench.isPaused = () => bench.requests.length >= 5
  expect(await bench.once()).toEqual({ kind: 'interrupted' })
  const begun = bench.requests.length
  expect(begun).toBeLessThan(10)
  expect(await bench.tally()).toMatchObject({ read: begun * 4, sent: begun * 4 })
})

test('when the ledger goes back in time, what it has forgotten is sent, counted and listed again', async () => {
  const bench = workbench(20, 4, [])
  bench.rows[5] = { kind: 'unreadable', place: { row: 6, byte: 5 }, reason: 'not_decodable', detail: 'no UTF-8' }
  const replica: { checkpoint?: Checkpoint | null } = {}
  bench.onRequest = async () => {
    if (bench.requests.length === 2) replica.checkpoint = await bench.ledger.checkpoint(bench.chunk)
    if (bench.requests.length !== 4 || !replica.checkpoint) return
    bench.ledger.checkpoints.set(bench.chunk.id, replica.checkpoint)
    bench.ledger.rejected.clear()
  }
  await bench.untilFinished()
  expect(await bench.tally()).toEqual({ ...emptyTally, read: 20, sent: 19, rejected: { not_decodable: 1 } })
  expect([...bench.ledger.rejected.values()].map(({ row }) => row)).toEqual([6])
})

test('of a chunk that nobody planned nothing is sent', async () => {
  const bench = workbench(20, 4, [])
  bench.ledger.isPlanned = () => Promise.resolve(false)
  expect(await bench.once()).toEqual({ kind: 'not_planned' })
  expect(bench.requests).toEqual([])
})

test('a crash repeats one batch at the most', async () => {
  const bench = workbench(20, 4, ['none', 'after_send'])
  await bench.untilFinished()
  expect(bench.requests.map((request) => request.length)).toEqual([4, 4, 4, 4, 4, 4])
  expect(bench.requests[1]).toEqual(bench.requests[2])
})

test('rows that cannot be read, converted or stored are rejected with their place, and all others are sent', async () => {
  const bench = workbench(6, 6, [])
  bench.rows[1] = { kind: 'unreadable', place: { row: 2, byte: 1 }, reason: 'not_decodable', detail: 'no UTF-8' }
  bench.convert = (id) =>
    id === '3'
      ? { kind: 'reject', reason: 'missing_time', detail: 'time is empty' }
      : id === '4'
        ? { kind: 'skip', reason: 'held_back' }
        : undefined
  bench.refused = [{ index: 1, detail: 'PostHog says no' }]
  await bench.untilFinished()
  expect(await bench.tally()).toEqual({
    ...emptyTally,
    read: 6,
    sent: 2,
    skipped: { held_back: 1 },
    rejected: { not_decodable: 1, missing_time: 1, refused_by_posthog: 1 },
  })
  expect(bench.ledger.sent).toEqual(
    new Map([
      ['e 19359', 1],
      ['e 19358', 1],
    ]),
  )
  expect([...bench.ledger.rejected.values()].map(({ row, byte, reason }) => [row, byte, reason])).toEqual([
    [2, 1, 'not_decodable'],
    [3, 2, 'missing_time'],
    [5, 4, 'refused_by_posthog'],
  ])
})

test('rows that PostHog took with a remark are sent, and counted by what it remarked', async () => {
  const bench = workbench(6, 2, [])
  bench.warned = { person_processing_disabled: 1 }
  await bench.untilFinished()
  expect(await bench.tally()).toEqual({ ...emptyTally, read: 6, sent: 6, warned: { person_processing_disabled: 3 } })
})

test('an event that PostHog cannot store for its size is rejected, never sent', async () => {
  const bench = workbench(2, 2, [])
  bench.padding = (id) => (id === '1' ? '"'.repeat(300_000) : '')
  await bench.untilFinished()
  expect(bench.stored()).toEqual(['2'])
  expect(await bench.tally()).toMatchObject({ sent: 1, rejected: { event_too_large: 1 } })
})

test('a worker that lost its lock stops at once and commits nothing', async () => {
  const bench = workbench(8, 2, [])
  bench.onRequest = () => bench.ledger.hold(bench.chunk, 'another')
  expect(await bench.once()).toEqual({ kind: 'lock_lost' })
  expect(bench.requests).toHaveLength(1)
  expect(await bench.ledger.checkpoint(bench.chunk)).toBeNull()
})

test('an interruption while PostHog is awaited commits nothing, so that the batch is sent again', async () => {
  const bench = workbench(4, 2, [])
  bench.interrupted = true
  expect(await bench.once()).toEqual({ kind: 'interrupted' })
  expect(await bench.ledger.checkpoint(bench.chunk)).toBeNull()
})

/** Lets others go first, so many times. */
async function anyTurns(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await setImmediate()
}

function rowsSent(rows: number): string[] {
  return Array.from({ length: rows }, (_, index) => String(index + 1)).toSorted()
}

/** Two days, in turn. */
function timestampOf(id: number): string {
  return `2023-01-0${1 + (id % 2)}T23:59:59.999Z`
}

/** By `<event> <day>`; the days that have none are left out. */
function rowsByDay(rows: number): Map<string, number> {
  const days = [
    ['e 19359', Math.ceil(rows / 2)],
    ['e 19358', Math.floor(rows / 2)],
  ] as const
  return new Map(days.filter(([, count]) => count > 0))
}

type Accident = 'before_send' | 'after_send' | 'before_commit' | 'after_commit' | 'stop' | 'none'

/** A chunk of rows 1 to n, a sink that keeps what it gets, and accidents that happen to one batch after the other. */
function workbench(rowCount: number, sliceRows: number, accidents: Accident[], slicesAtOnce = 1) {
  const run = RunId.parse('r')
  const chunk = chunkOf(run, file, 0, rowCount)
  const ledger = new MemoryLedger()
  const requests: string[][] = []
  /** What is to happen to the slice that begins there. */
  const due = new Map<number, Accident>()
  let inFlight = 0
  let stopping = new AbortController()

  const bench = {
    chunk,
    ledger,
    requests,
    rows: Array.from({ length: rowCount }, (_, index): ReadRow => {
      return {
        kind: 'row',
        place: { row: index + 1, byte: index },
        columns,
        values: [String(index + 1), '7', '2023-01-01'],
      }
    }),
    convert: (_id: string): ReturnType<ReturnType<ChunkWork['converterFor']>> | undefined => undefined,
    padding: (_id: string): string => '',
    uuid: (id: string): string => id,
    leave: (onLeft: () => void): void => onLeft(),
    readFailsAt: Number.POSITIVE_INFINITY,
    isPaused: (): boolean => false,
    inFlight: () => inFlight,
    refused: [] as Refusal[],
    warned: {} as Tally['warned'],
    interrupted: false,
    onRequest: (): Promise<void> => Promise.resolve(),
    stored: () => [...new Set(requests.flat())].toSorted(),
    tally: async () => (await ledger.checkpoint(chunk))?.tally,

    async once() {
      await ledger.hold(chunk, 'mine')
      stopping = new AbortController()
      return processChunk({ chunk, file, token: 'mine' }, work, accidents.length > 0 ? stopping.signal : never)
    },
    async untilFinished() {
      for (let turn = 0; turn < 100; turn++) {
        const outcome = await bench.once().catch((error: unknown) => {
          if (error instanceof Crash) return { kind: 'crashed' as const }
          throw error
        })
        if (outcome.kind === 'finished') return
      }
      throw new Error('not finished after 100 turns')
    },
  }

  const sink: EventSink = {
    async send(events: readonly OutgoingEvent[], signal, { name }, onLeft = () => {}) {
      if (signal.aborted) return { kind: 'interrupted' }
      const from = Number(name.slice(name.lastIndexOf('-') + 1))
      due.set(from, accidents.shift() ?? 'none')
      inFlight++
      try {
        crashAt('before_send', from)
        if (bench.interrupted) return { kind: 'interrupted' }
        requests.push(events.map(({ uuid }) => uuid))
        bench.leave(onLeft)
        await bench.onRequest()
        if (due.get(from) === 'stop') stopping.abort()
        crashAt('after_send', from)
        return { kind: 'acknowledged', refused: bench.refused, warned: bench.warned }
      } finally {
        inFlight--
      }
    },
  }
  const work: ChunkWork = {
    source: {
      async *read(_file, _chunk, from): AsyncGenerator<Slice> {
        for (let at = from.cursor; at < rowCount; at += sliceRows) {
          if (at >= bench.readFailsAt) throw new Error('the disk is gone')
          const next = Math.min(rowCount, at + sliceRows)
          yield await Promise.resolve({ columns, rows: bench.rows.slice(at, next), next })
        }
      },
    },
    sink,
    ledger: {
      isPlanned: () => ledger.isPlanned(),
      checkpoint: (of) => ledger.checkpoint(of),
      async commit(...what) {
        const { from } = what[3]
        crashAt('before_commit', from)
        const answer = await ledger.commit(...what)
        crashAt('after_commit', from)
        if (answer.kind !== 'committed' || !bench.isPaused()) return answer
        return { ...answer, intent: { kind: 'pause', by: 'test', reason: '', hint: '' } }
      },
    },
    converterFor: () =>
      writing((values) => {
        const id = values[0] ?? ''
        const properties = { padding: bench.padding(id) }
        return (
          bench.convert(id) ?? {
            kind: 'event',
            event: {
              uuid: bench.uuid(id),
              event: 'e',
              distinct_id: '7',
              timestamp: timestampOf(Number(id)),
              properties,
            },
          }
        )
      }),
    findSessions: findNoSessions,
    limits: { rows: sliceRows, bytes: 1000, slicesAtOnce },
  }

  function crashAt(moment: Accident, from: number): void {
    if (due.get(from) !== moment) return
    due.delete(from)
    throw new Crash()
  }
  return bench
}

class Crash extends Error {}
