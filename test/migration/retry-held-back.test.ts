import {
  emptyTally,
  type EventSink,
  type OutgoingEvent,
  type ReadRow,
  type RetryHold,
  type Slice,
} from '@heapferry/domain'
import { convertersOf, findNoSessions, type HeldBackWork, noIdentities, retryHeldBack } from '@heapferry/migration'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { columns } from '../support/chunk.ts'
import { redisForTests } from '../support/redis.ts'
import { rejectingRun } from '../support/rejecting-run.ts'
import { tries } from '../support/tries.ts'

const server = redisForTests()
const hourMs = 3_600_000
const moments = ['before_send', 'after_send', 'before_settle', 'after_settle'] as const
type Accident = (typeof moments)[number] | 'stop' | 'none'
let runs = 0

test('whatever accidents happen and whenever it is called, a held back row is sent once, when it is old enough', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 20 }),
      fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.constantFrom<Accident>(...moments, 'stop', 'none', 'none'), { maxLength: 12 }),
      async (agesH, laterH, accidents) => {
        const bench = await workbench(agesH, accidents)
        let nowH = 0
        for (const hours of laterH) {
          nowH += hours
          const outcome = await bench.turn(nowH)
          const sent = bench.ageWhenSent()
          // Never before its time; and after a pass nothing is left that had its time.
          expect(sent.every((ageH) => ageH + nowH >= 48)).toBe(true)
          if (outcome === 'finished')
            expect(sent).toEqual(inOrder(agesH.filter((ageH) => ageH < 48 && ageH + nowH >= 48)))
          await bench.exact()
        }
        for (let turns = 0; (await bench.turn(100)) !== 'finished'; turns++) expect(turns).toBeLessThan(20)
        expect(bench.ageWhenSent()).toEqual(inOrder(agesH.filter((ageH) => ageH < 48)))
        await bench.exact()
        expect((await bench.tallies()).table).toMatchObject({ sent: agesH.length, skipped: {} })
      },
    ),
    { numRuns: tries(100) },
  )
})

test('a row that PostHog refuses moves from held back to rejected, with its place', async () => {
  const bench = await workbench([1, 2, 50], [])
  bench.refused = 2
  await bench.turn(100)
  expect((await bench.tallies()).table).toEqual({
    ...emptyTally,
    read: 3,
    sent: 2,
    rejected: { refused_by_posthog: 1 },
  })
  expect((await bench.rejected()).map(({ row, byte, reason }) => [row, byte, reason])).toEqual([
    [2, 1, 'refused_by_posthog'],
  ])
})

/** A chunk whose rows had these ages when the run began; the turn comes so many hours later. */
async function workbench(agesH: readonly number[], accidents: readonly Accident[]) {
  runs++
  const bench = await rejectingRun(server.redis, `held-${runs}`)
  const { ledger, run, file } = bench
  const rows = agesH.map((ageH, index): ReadRow => {
    // A minute older than so many hours.
    const time = new Date(run.createdAtMs - ageH * hourMs - 60_000).toISOString()
    return { kind: 'row', place: { row: index + 1, byte: index }, columns, values: [String(index + 1), '7', time] }
  })
  const convert = convertersOf(run, noIdentities, null)(file.table, columns)
  const heldBack = rows.filter((row) => row.kind === 'row' && convert(row.values).kind === 'skip').length
  const sentInRun = rows.length - heldBack
  await bench.end(0, {
    read: rows.length,
    sent: sentInRun,
    ...(heldBack > 0 && { skipped: { held_back: heldBack } }),
  })
  const pending = [...accidents]
  const sent: number[] = []
  let current: Accident = 'none'
  let stopping = new AbortController()
  let turns = 0

  const sink: EventSink = {
    send(events: readonly OutgoingEvent[]) {
      current = pending.shift() ?? 'none'
      crashAt('before_send')
      const numbers = events.map(({ json }) =>
        Number(JSON.parse(Buffer.from(json).toString()).properties.heap_event_id),
      )
      sent.push(...numbers.filter((number) => number !== self.refused))
      if (current === 'stop') stopping.abort()
      crashAt('after_send')
      const index = numbers.indexOf(self.refused)
      const refused = index === -1 ? [] : [{ index, detail: 'no' }]
      return Promise.resolve({ kind: 'acknowledged', refused, warned: {} })
    },
  }

  const self = {
    ...bench,
    refused: 0,
    ageWhenSent: () => inOrder([...new Set(sent)].map((number) => agesH[number - 1] ?? -1)),
    async turn(laterH: number): Promise<'finished' | 'interrupted' | 'crashed'> {
      turns++
      stopping = new AbortController()
      const hold: RetryHold = { run: run.id, token: `turn ${turns}` }
      await bench.forgetHold()
      await ledger.takeRetry(hold, 'ada')
      const work = {
        hold,
        ledger: withAccidents(),
        sink,
        source: {
          async *read(_file: unknown, _chunk: unknown, from: { cursor: number }): AsyncGenerator<Slice> {
            for (let at = from.cursor; at < rows.length; at += 3)
              yield await Promise.resolve({ rows: rows.slice(at, at + 3), next: Math.min(rows.length, at + 3) })
          },
          async *cut() {
            const range = { kind: 'bytes', start: 0, end: rows.length } as const
            yield await Promise.resolve({ range, firstRow: 1, rows: rows.length, first: null })
          },
        },
        convertersAt: (createdAtMs: number) => convertersOf({ ...run, createdAtMs }, noIdentities, null),
        findSessions: findNoSessions,
        limits: { rows: 3, bytes: 1000 },
        nowMs: run.createdAtMs + laterH * hourMs,
      }
      try {
        return (await retryHeldBack(run, [file], work, stopping.signal)).kind
      } catch (error) {
        if (error instanceof Crash) return 'crashed'
        throw error
      }
    },
    async exact(): Promise<void> {
      const { table, chunks } = await bench.tallies()
      expect(chunks).toEqual([table])
      expect(await bench.countedByDay()).toBe(table.sent - sentInRun)
      expect(table.sent + (table.skipped.held_back ?? 0)).toBe(agesH.length)
    },
  }
  return self

  function withAccidents(): HeldBackWork['ledger'] {
    return {
      heldBackChunks: (of) => ledger.heldBackChunks(of),
      async settleHeldBack(...what) {
        crashAt('before_settle')
        await ledger.settleHeldBack(...what)
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

function inOrder(numbers: readonly number[]): number[] {
  return numbers.toSorted((a, b) => a - b)
}

class Crash extends Error {}
