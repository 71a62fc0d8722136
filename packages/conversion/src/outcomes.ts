import type { Conversion, RejectReason, SkipReason } from '@heapferry/domain'
import type { IdReading } from './canonical-id.ts'
import { distinctIdFault } from './distinct-id.ts'

/** Details name the column, and show ids and times only: never what else a row says about a person. */
const shownIdChars = 60
const shownTimeChars = 40

export function skip(reason: SkipReason): Conversion {
  return { kind: 'skip', reason }
}

export function reject(reason: RejectReason, detail: string): Conversion {
  return { kind: 'reject', reason, detail }
}

export function rejectId(column: string, reading: Exclude<IdReading, { kind: 'id' }>, text: string | null): Conversion {
  switch (reading.kind) {
    case 'missing':
      return reject('missing_user_id', `${column} is empty`)
    case 'damaged':
      return reject('damaged_id', `${column} ${reading.why}: ${shown(text, shownIdChars)}`)
  }
}

export function rejectUnparsableTime(column: string, text: string): Conversion {
  return reject('unparsable_time', `${column} is not a time of a known form: ${shown(text, shownTimeChars)}`)
}

export function rejectTimeOutOfRange(column: string, timeMs: number, text: string | null): Conversion {
  const side = timeMs < earliestMs ? 'before 2010' : 'in the future'
  return reject('time_out_of_range', `${column} is ${side}: ${shown(text, shownTimeChars)}`)
}

/** Undefined where PostHog takes `id` as the name of one person. */
export function rejectDistinctId(column: string, id: string): Conversion | undefined {
  const fault = distinctIdFault(id)
  if (!fault) return undefined
  switch (fault.kind) {
    case 'illegal':
      return reject('illegal_distinct_id', `PostHog takes no such id for one person: ${column} is ${id}`)
    case 'damaged':
      return reject('damaged_id', `${column} is a number that has lost digits`)
    case 'too_long':
      return reject('distinct_id_too_long', `${column} has ${fault.bytes} bytes, PostHog takes 200`)
  }
}

/** Heap was founded in 2013; earlier times come from clocks that were wrong. */
export const earliestMs = Date.UTC(2010)

/** PostHog moves what is more than 23 hours ahead to the moment of its arrival, which would be another event on every try. */
const aheadMs = 23 * 3_600_000

export function isInRange(timeMs: number, startedAtMs: number): boolean {
  return timeMs >= earliestMs && timeMs <= startedAtMs + aheadMs
}

function shown(text: string | null, maxChars: number): string {
  // Cutting may split a surrogate pair.
  return (text ?? '')
    .trim()
    .slice(0, maxChars)
    .replace(/[\uD800-\uDBFF]$/, '')
}
