import { Buffer } from 'node:buffer'
import type {
  Conversion,
  ConverterFor,
  OutgoingEvent,
  PostHogEvent,
  ReadRow,
  Table,
  Tally,
  Written,
} from '@heapferry/domain'

/** How a row ends if PostHog takes every event. What an event holds is in its JSON alone, for the sake of memory. */
export type RowEnd =
  | ({ kind: 'event' } & OutgoingEvent & Pick<PostHogEvent, 'event' | 'timestamp'>)
  | Exclude<Conversion, { kind: 'event' }>

/** The walk of every row, whoever takes it: unreadable, or converted, and then small enough for PostHog or not. */
export function endOfRow(row: ReadRow, table: Table, converterFor: ConverterFor): RowEnd {
  const end = endOfWritten(writtenOf(row, table, converterFor))
  if (row.kind !== 'row' || !row.session || !isLarge(end)) return end
  // Whether a row can be sent is told by the row alone: what is known of its session never makes it too large.
  const alone = endOfWritten(writtenOf({ ...row, session: null }, table, converterFor))
  return end.kind === 'event' && alone.kind === 'event' ? end : alone
}

/** What a row becomes, whatever its size. */
export function conversionOf(row: ReadRow, table: Table, converterFor: ConverterFor): Conversion {
  return row.kind === 'row'
    ? converterFor(table, row.columns)(row.values, row.types, row.session)
    : { kind: 'reject', reason: row.reason, detail: row.detail }
}

function writtenOf(row: ReadRow, table: Table, converterFor: ConverterFor): Written {
  return row.kind === 'row'
    ? converterFor(table, row.columns).write(row.values, row.types, row.session)
    : { kind: 'reject', reason: row.reason, detail: row.detail }
}

/**
 * PostHog's capture service embeds an event's JSON as a string in a message of at most 1,000,000 bytes, so quotes and
 * backslashes count twice. What its pipeline adds later has to fit as well.
 */
const maxEncodedBytes = 900_000

/** Without its session an event may take more by its `$session_id`. */
const sessionIdBytes = 200

function isLarge(end: RowEnd): boolean {
  return end.kind === 'event'
    ? (end.json.length + sessionIdBytes) * 2 + 2 > maxEncodedBytes
    : end.kind === 'reject' && end.reason === 'event_too_large'
}

function endOfWritten(written: Written): RowEnd {
  if (written.kind !== 'event') return written
  const { uuid, event, distinct_id, timestamp } = written.event
  const json = Buffer.from(written.event.json)
  // JSON has escaped all else: encoded again, only quotes and backslashes grow, each by one byte.
  if (json.length * 2 + 2 > maxEncodedBytes) {
    const bytes = Buffer.byteLength(JSON.stringify(json.toString()))
    if (bytes > maxEncodedBytes) {
      const detail = `the event would take ${bytes} bytes of PostHog's 1 MB`
      return { kind: 'reject', reason: 'event_too_large', detail }
    }
  }
  return { kind: 'event', uuid, event, distinct_id, timestamp, json }
}

/** Counts a row that was read and ended so. */
export function countEnd(tally: Tally, end: RowEnd): void {
  tally.read++
  switch (end.kind) {
    case 'event':
      tally.sent++
      break
    case 'skip':
      tally.skipped[end.reason] = (tally.skipped[end.reason] ?? 0) + 1
      break
    case 'reject':
      tally.rejected[end.reason] = (tally.rejected[end.reason] ?? 0) + 1
      break
  }
}
