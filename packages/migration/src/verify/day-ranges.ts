import type { TimeRange } from '@heapferry/domain'

// A day of so many events is read in a second or two, where PostHog stops after ten.
const eventsPerRange = 2_000_000
// Of the 50,000 rows that an answer holds.
const rowsPerRange = 40_000
const dayMs = 86_400_000

/**
 * Ranges of days that follow each other, each small enough for one query.
 *
 * @param days ascending, without repetition
 * @param sizeOf about how many events a day has, and under how many names
 */
export function dayRanges(
  days: readonly number[],
  sizeOf: (day: number) => { events: number; names: number },
): TimeRange[] {
  const ranges: TimeRange[] = []
  let events = 0
  let rows = 0
  for (const day of days) {
    const size = sizeOf(day)
    events += size.events
    rows += size.names
    const last = ranges.at(-1)
    if (last?.toMs === day * dayMs && events <= eventsPerRange && rows <= rowsPerRange) {
      last.toMs += dayMs
      continue
    }
    ranges.push({ fromMs: day * dayMs, toMs: (day + 1) * dayMs })
    events = size.events
    rows = size.names
  }
  return ranges
}

/** The months (UTC) of days, ascending. */
export function monthsOf(days: readonly number[]): TimeRange[] {
  const firsts = days.map((day) => {
    const date = new Date(day * dayMs)
    return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1)
  })
  return [...new Set(firsts)]
    .toSorted((a, b) => a - b)
    .map((fromMs) => {
      const first = new Date(fromMs)
      return { fromMs, toMs: Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 1) }
    })
}

/** @param range of whole days */
export function daysOf({ fromMs, toMs }: TimeRange): number[] {
  return Array.from({ length: (toMs - fromMs) / dayMs }, (_, nth) => fromMs / dayMs + nth)
}
