import {
  type Chunk,
  type Conversion,
  type DayCount,
  emptyTally,
  type ExportFile,
  type Place,
  type PostHogEvent,
  type ReadRow,
  type RejectedRow,
  type RejectReason,
  type Slice,
  type SkipReason,
  type Tally,
} from '@heapferry/domain'
import { outgoing } from './outgoing.ts'

/**
 * A slice's events, and how all its rows end if PostHog takes every event.
 * @param convert null for a row that has ended already: it is counted as read and nothing else
 */
export function convertSlice(
  { chunk, file }: { chunk: Chunk; file: ExportFile },
  slice: Slice,
  convert: (row: ReadRow) => Conversion | null,
) {
  const events = []
  const places: Place[] = []
  const days: DayCount[] = []
  const countsByDay = new Map<string, DayCount>()
  const rejected: RejectedRow[] = []
  const tally: Tally = structuredClone(emptyTally)

  const reject = (place: Place, reason: RejectReason, detail: string): void => {
    rejected.push({ chunk: chunk.id, file: file.id, table: file.table.name, ...place, reason, detail })
    tally.rejected[reason] = (tally.rejected[reason] ?? 0) + 1
  }
  const skip = (reason: SkipReason): void => {
    tally.skipped[reason] = (tally.skipped[reason] ?? 0) + 1
  }

  /** The counter for events of this name and day, which counts this one. */
  const counted = (event: PostHogEvent): DayCount => {
    const date = event.timestamp.slice(0, 10)
    const key = `${date}${event.event}`
    const known = countsByDay.get(key) ?? { event: event.event, day: dayOf(event), count: 0 }
    countsByDay.set(key, known)
    known.count++
    return known
  }

  for (const row of slice.rows) {
    tally.read++
    const conversion = convert(row)
    if (conversion === null) continue
    switch (conversion.kind) {
      case 'event': {
        const sized = outgoing(conversion.event)
        if (sized.kind === 'too_large') {
          reject(row.place, 'event_too_large', `the event would take ${sized.bytes} bytes of PostHog's 1 MB`)
          break
        }
        events.push(sized)
        places.push(row.place)
        days.push(counted(conversion.event))
        tally.sent++
        break
      }
      case 'skip':
        skip(conversion.reason)
        break
      case 'reject':
        reject(row.place, conversion.reason, conversion.detail)
        break
    }
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
