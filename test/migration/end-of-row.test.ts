import type { Conversion, ReadRow } from '@heapferry/domain'
import { endOfRow } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { columns, fileOf } from '../support/chunk.ts'

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
  return endOfRow({ kind: 'row', place, columns, values: [] }, table, () => () => conversion)
}
