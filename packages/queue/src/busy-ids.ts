import type { OutgoingEvent } from '@heapferry/domain'

/** The part of a batch that may go together, and how many events of it are of ids that occur often. */
export interface Part {
  events: number
  busy: Map<string, number>
}

// Fewer events of one id within a minute are not worth asking Redis about.
const unheardOfPerMinute = 50
const mostOfOneIdPerBatch = 100
const buckets = 65_536
const minuteMs = 60_000

/**
 * Finds the few ids that occur often, in a table of a fixed size: a count is that of all ids of one bucket, so an id can
 * be taken for a busy one and be counted in Redis for nothing, but none is overlooked.
 */
export function busyIds(): (events: readonly OutgoingEvent[], most: number, nowMs: number) => Part {
  const counts = new Uint16Array(buckets)
  let minute = 0

  return (events, most, nowMs) => {
    const thisMinute = Math.floor(nowMs / minuteMs)
    if (thisMinute !== minute) counts.fill(0)
    minute = thisMinute

    const busy = new Map<string, number>()
    let taken = 0
    for (const { distinct_id: id } of events) {
      if (taken === most || (busy.get(id) ?? 0) >= mostOfOneIdPerBatch) break
      taken++
      const bucket = hash(id) % buckets
      const count = (counts[bucket] ?? 0) + 1
      counts[bucket] = count
      // Those that went before it was noticed are made up for.
      if (count > unheardOfPerMinute)
        busy.set(id, (busy.get(id) ?? (count === unheardOfPerMinute + 1 ? unheardOfPerMinute : 0)) + 1)
    }
    return { events: taken, busy }
  }
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193)
  return value >>> 0
}
