import {
  type Chunk,
  type DayCount,
  emptyTally,
  type ExportFile,
  type OutgoingEvent,
  type Place,
  type PostHogEvent,
  type ReadRow,
  type RejectedRow,
  type RejectReason,
  type Slice,
  type Tally,
} from '@heapferry/domain'
import { countEnd, type RowEnd } from './end-of-row.ts'

/**
 * A slice's events, and how all its rows end if PostHog takes every event.
 * @param endOf null for a row that has ended already: it is counted as read and nothing else
 */
export function convertSlice(
  { chunk, file }: { chunk: Pick<Chunk, 'id'>; file: ExportFile },
  slice: Slice,
  endOf: (row: ReadRow) => RowEnd | null,
) {
  const events: OutgoingEvent[] = []
  const places: Place[] = []
  const days: DayCount[] = []
  const countsByDay = new Map<string, DayCount>()
  const rejected: RejectedRow[] = []
  const tally: Tally = structuredClone(emptyTally)

  const reject = (place: Place, reason: RejectReason, detail: string): void => {
    rejected.push({ chunk: chunk.id, file: file.id, table: file.table.name, ...place, reason, detail })
  }

  /** The counter for events of this name and day, which counts this one. */
  const counted = ({ event, timestamp }: Pick<PostHogEvent, 'event' | 'timestamp'>): DayCount => {
    const key = `${timestamp.slice(0, 10)}${event}`
    const known = countsByDay.get(key) ?? { event, day: dayOf({ timestamp }), count: 0 }
    countsByDay.set(key, known)
    known.count++
    return known
  }

  for (const row of slice.rows) {
    const end = endOf(row)
    if (end === null) {
      tally.read++
      continue
    }
    countEnd(tally, end)
    if (end.kind === 'reject') reject(row.place, end.reason, end.detail)
    if (end.kind !== 'event') continue
    events.push(end)
    places.push(row.place)
    days.push(counted(end))
  }

  return {
    events,
    rejected,
    tally,
    /** What PostHog takes, by event and day. */
    counts: (): DayCount[] => [...countsByDay.values()].filter(({ count }) => count > 0),
    refuse(index: number, detail: string): void {
      const place = places[index]
      const day = days[index]
      if (!place || !day) throw new Error(`PostHog refused event ${index} of ${events.length}`)
      tally.sent--
      tally.rejected.refused_by_posthog = (tally.rejected.refused_by_posthog ?? 0) + 1
      day.count--
      reject(place, 'refused_by_posthog', detail)
    },
  }
}

const dayMs = 86_400_000

/** The event's day (UTC), in days since 1970-01-01. */
export function dayOf({ timestamp }: Pick<PostHogEvent, 'timestamp'>): number {
  return Math.floor(Date.parse(timestamp) / dayMs)
}
