import type { Conversion, FoundSession, ReadRow } from '@heapferry/domain'
import { convertersOf, endOfRow, noIdentities } from '@heapferry/migration'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { columns, fileOf, runOf } from '../support/chunk.ts'
import { writing } from '../support/writing.ts'

const { table } = fileOf('clicks')
const place = { row: 7, byte: 70 }

test('a row that cannot be read ends as its reader says, and is not converted', () => {
  const row: ReadRow = { kind: 'unreadable', place, reason: 'not_decodable', detail: 'no UTF-8' }
  expect(endOfRow(row, table, unasked)).toEqual({ kind: 'reject', reason: 'not_decodable', detail: 'no UTF-8' })
})

test('an event is its JSON and what PostHog tells it apart by; it is let go', () => {
  const end = ended(eventWith('some "text"'))
  if (end.kind !== 'event') throw new Error('it is no event')
  const { json, ...rest } = end
  expect(rest).toEqual({ kind: 'event', ...key })
  expect(JSON.parse(Buffer.from(json).toString())).toEqual({ ...key, properties: { text: 'some "text"' } })
})

test('an event of 900,000 bytes is sent; of one more, with the quotes that JSON in JSON needs, it is too large', () => {
  const fitting = 'é'.repeat(Math.floor((900_000 - bytesWith('')) / 2))
  const full = fitting + 'x'.repeat(900_000 - bytesWith(fitting))
  expect(ended(eventWith(full)).kind).toBe('event')
  expect(ended(eventWith(`${full}x`))).toEqual({
    kind: 'reject',
    reason: 'event_too_large',
    detail: "the event would take 900001 bytes of PostHog's 1 MB",
  })
})

test('whatever is known of its session, a row ends as it does alone, with the same uuid, name, person and time', () => {
  const named = ['event_id', 'user_id', 'session_id', 'time', 'library', 'text']
  const converterFor = convertersOf(runOf('sessions'), noIdentities, null)
  const endsWith = (session: FoundSession | null, library: string | null, text: string) => {
    const values = ['1', '7', '9000000000000001', '2023-01-02 03:04:05', library, text]
    const row: ReadRow = { kind: 'row', place, columns: named, values, session }
    return endOfRow(row, table, converterFor)
  }
  const ends = new Set<string>()
  fc.assert(
    fc.property(
      // About as large as an event may be, with and without what its session adds.
      fc.integer({ min: 898_000, max: 900_000 }),
      fc.constantFrom(null, 'web'),
      fc.record({
        startMs: fc.option(fc.constant(Date.UTC(2023, 0, 1, 23))),
        isMissing: fc.boolean(),
        cells: fc.option(fc.integer({ min: 0, max: 2000 }).map((chars) => [`https://a.example/${'x'.repeat(chars)}`])),
        page: fc.constant(null),
      }),
      (chars, library, session) => {
        const alone = endsWith(null, library, 'x'.repeat(chars))
        const end = endsWith(session, library, 'x'.repeat(chars))
        ends.add(end.kind)
        if (alone.kind === 'event' && end.kind === 'event') {
          const { json: _, ...same } = alone
          expect(end).toMatchObject(same)
          expect(Buffer.byteLength(JSON.stringify(Buffer.from(end.json).toString()))).toBeLessThanOrEqual(900_000)
        } else {
          expect(end).toEqual(alone)
        }
      },
    ),
    { numRuns: 100 },
  )
  expect(ends).toEqual(new Set(['event', 'reject']))
})

const key = { uuid: 'u', event: 'click', distinct_id: '7', timestamp: '2023-01-01T00:00:00.000Z' }

function eventWith(text: string): Conversion {
  return { kind: 'event', event: { ...key, properties: { text } } }
}

/** Of the event's JSON, encoded once more. */
function bytesWith(text: string): number {
  return Buffer.byteLength(JSON.stringify(JSON.stringify({ ...key, properties: { text } })))
}

function unasked(): never {
  throw new Error('it was converted')
}

function ended(conversion: Conversion) {
  return endOfRow({ kind: 'row', place, columns, values: [] }, table, () => writing(() => conversion))
}
