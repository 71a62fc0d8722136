import type { EventSink, OutgoingEvent, Phase, Refusal, RejectedRow, RetryHold } from '@heapferry/domain'
import { findNoSessions, type RereadRow, retryRejected, type RetryWork } from '@heapferry/migration'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { columns } from '../support/chunk.ts'
import { redisForTests } from '../support/redis.ts'
import { rejectedAt, rejectingRun } from '../support/rejecting-run.ts'
import { tries } from '../support/tries.ts'
import { writing } from '../support/writing.ts'

const server = redisForTests()
const moments = [
  'before_announce',
  'after_announce',
  'before_send',
  'after_send',
  'before_settle',
  'after_settle',
] as const
type Accident = (typeof moments)[number] | 'stop' | 'none'
let runs = 0

test('whatever accidents happen between reading, sending and settling, every rejected row ends once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('good', 'good', 'good', 'bad', 'skip', 'unreadable', 'refused'), {
        minLength: 1,
        maxLength: 25,
      }),
      fc.array(fc.constantFrom<Accident>(...moments, 'stop', 'none'), { maxLength: 12 }),
      async (fates, accidents) => {
        const bench = await workbench(fates, accidents)
        await bench.untilFinished()
        const numbersOf = (...wanted: string[]) =>
          fates.flatMap((fate, index) => (wanted.includes(fate) ? [index + 1] : []))
        const still = numbersOf('bad', 'unreadable', 'refused')
        expect([...bench.stored].toSorted((a, b) => a - b)).toEqual(numbersOf('good'))
        expect((await bench.rejected()).map(({ row }) => row)).toEqual(still)

        const { table, chunks } = await bench.tallies()
        expect(chunks).toEqual([table])
        expect(table.read).toBe(fates.length)
        expect(table.sent).toBe(numbersOf('good').length)
        expect(await bench.countedByDay()).toBe(table.sent)
        expect(table.skipped.superseded ?? 0).toBe(numbersOf('skip').length)
        expect(table.rejected.missing_time ?? 0).toBe(numbersOf('bad').length)
        expect(table.rejected.not_decodable ?? 0).toBe(numbersOf('unreadable').length)
        expect(table.rejected.refused_by_posthog ?? 0).toBe(numbersOf('refused').length)
      },
    ),
    { numRuns: tries(150) },
  )
})

test('a retry that is cut off between sending and settling repeats one batch, and the timeline counts it once', async () => {
  const bench = await workbench(
    Array.from({ length: 8 }, () => 'good'),
    ['none', 'after_send'],
  )
  await bench.untilFinished()
  expect(bench.requests).toEqual([
    [1, 2, 3],
    [4, 5, 6],
    [4, 5, 6],
    [7, 8],
  ])
  const retried = (await bench.ledger.timeline(bench.run.id)).flatMap((entry) =>
    entry.kind === 'retried' ? [entry.sent] : [],
  )
  expect(retried).toEqual([3, 5])
})

test('rows that a killed retry may have sent as other events are left, and all others are sent', async () => {
  const bench = await workbench(
    Array.from({ length: 6 }, () => 'good'),
    ['after_send'],
  )
  await bench.turn().catch(() => {})
  bench.rename = (name) => `${name} mended`
  const { counts } = await bench.turn()
  expect(counts).toMatchObject({ sent: 3, left: { sent_otherwise: 3 } })
  expect(bench.requests).toEqual([
    [1, 2, 3],
    [4, 5, 6],
  ])
  bench.anyway = true
  expect((await bench.turn()).counts).toMatchObject({ sent: 3, left: {} })
})

test('people are sent before events, and what they need is loaded only where there are any', async () => {
  const bench = await workbench(
    Array.from({ length: 4 }, () => 'good'),
    [],
  )
  await bench.turn()
  expect(bench.asked).toEqual(['identities', 'events'])
  expect(bench.loaded).toEqual(['events'])
})

test('a row that is too young stays rejected with its place', async () => {
  const bench = await workbench(['young', 'good'], [])
  expect((await bench.turn()).counts).toMatchObject({ sent: 1, skipped: 0, left: { too_young: 1 } })
  expect((await bench.rejected()).map(({ row, reason }) => [row, reason])).toEqual([[1, 'damaged_id']])
})

/** A run whose rows were all rejected, in batches of three, and accidents that happen to one batch after the other. */
async function workbench(fates: readonly string[], accidents: readonly Accident[]) {
  runs++
  const bench = await rejectingRun(server.redis, `rejected-${runs}`)
  const { ledger, run, file } = bench
  const chunk = { ...bench.chunk(0), rows: fates.length }
  const rows = fates.map((_, index) => rejectedAt(chunk, index + 1, { reason: 'damaged_id' }))
  await bench.end(0, { read: rows.length, rejected: rows.length > 0 ? { damaged_id: rows.length } : {} }, rows)
  const pending = [...accidents]
  const requests: number[][] = []
  const asked: Phase[] = []
  const loaded: Phase[] = []
  let current: Accident = 'none'
  let stopping = new AbortController()
  let turns = 0

  async function* rowsOf(phase: Phase): AsyncGenerator<RereadRow> {
    asked.push(phase)
    if (phase !== 'events') return
    const left = new Set((await bench.rejected()).map(({ row }) => row))
    for (const [index, fate] of fates.entries()) {
      const place = { chunk: chunk.id, row: index + 1, byte: (index + 1) * 100 }
      if (!left.has(place.row)) continue
      // So many characters that three rows fill a batch.
      const values = [String(place.row), fate, 'x'.repeat(500_000)]
      const found: RereadRow['row'] =
        fate === 'unreadable'
          ? { kind: 'unreadable', place, reason: 'not_decodable', detail: 'no UTF-8' }
          : { kind: 'row', place, columns, values }
      yield { file, place, row: found, text: fate === 'unreadable' ? 'x'.repeat(500_000) : null }
    }
  }

  const sink: EventSink = {
    async send(events: readonly OutgoingEvent[]) {
      crashAt('before_send')
      const refused: Refusal[] = []
      const numbers = events.map(({ json }) => Number(JSON.parse(Buffer.from(json).toString()).uuid))
      requests.push(numbers)
      for (const [index, number] of numbers.entries()) {
        if (fates[number - 1] === 'refused') refused.push({ index, detail: 'PostHog says no' })
        else self.stored.add(number)
      }
      if (current === 'stop') stopping.abort()
      crashAt('after_send')
      return Promise.resolve({ kind: 'acknowledged', refused, warned: {} })
    },
  }

  const self = {
    ...bench,
    requests,
    asked,
    loaded,
    stored: new Set<number>(),
    anyway: false,
    rename: (name: string): string => name,
    async turn() {
      turns++
      stopping = new AbortController()
      const hold: RetryHold = { run: run.id, token: `turn ${turns}` }
      await bench.forgetHold()
      await ledger.takeRetry(hold, 'ada')
      const work: RetryWork = {
        hold,
        ledger: withAccidents(),
        sink,
        anyway: self.anyway,
        findSessions: findNoSessions,
        convertersFor(phase) {
          loaded.push(phase)
          return Promise.resolve(() =>
            writing((values) => {
              switch (String(values[1])) {
                case 'bad':
                  return { kind: 'reject', reason: 'missing_time', detail: 'time is empty' }
                case 'skip':
                  return { kind: 'skip', reason: 'superseded' }
                case 'young':
                  return { kind: 'skip', reason: 'held_back' }
                default: {
                  const event = {
                    uuid: values[0] ?? '',
                    event: self.rename('e'),
                    distinct_id: '7',
                    timestamp: '2023-01-02T03:04:05.000Z',
                  }
                  return { kind: 'event', event: { ...event, properties: {} } }
                }
              }
            }),
          )
        },
      }
      const result = await retryRejected(rowsOf, work, stopping.signal)
      await ledger.endRetry(hold)
      return result
    },
    async untilFinished() {
      for (let turn = 0; turn < 50; turn++) {
        const outcome = await self.turn().catch((error: unknown) => {
          if (error instanceof Crash) return { kind: 'crashed' as const }
          throw error
        })
        if (outcome.kind === 'finished' && pending.length === 0) return
        if (outcome.kind === 'finished' && (await bench.rejected()).every(isStuck)) return
      }
      throw new Error('not finished after 50 turns')
    },
  }
  return self

  function isStuck({ row }: RejectedRow): boolean {
    return ['bad', 'unreadable', 'refused'].includes(fates[row - 1] ?? '')
  }

  function withAccidents(): RetryWork['ledger'] {
    return {
      async announce(...what) {
        current = pending.shift() ?? 'none'
        crashAt('before_announce')
        const answer = await ledger.announce(...what)
        crashAt('after_announce')
        return answer
      },
      async settle(...what) {
        crashAt('before_settle')
        await ledger.settle(...what)
        crashAt('after_settle')
      },
    }
  }

  function crashAt(moment: Accident): void {
    if (current !== moment) return
    current = 'none'
    throw new Crash()
  }
}

class Crash extends Error {}
