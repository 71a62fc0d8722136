import type {
  Chunk,
  Conversion,
  ExportFile,
  Place,
  ReadRow,
  RejectedRow,
  RejectReason,
  Slice,
  SkipReason,
  Tally,
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
  const rejected: RejectedRow[] = []
  const tally: Tally = { read: 0, sent: 0, skipped: {}, rejected: {} }

  const reject = (place: Place, reason: RejectReason, detail: string): void => {
    rejected.push({ chunk: chunk.id, file: file.id, table: file.table.name, ...place, reason, detail })
    tally.rejected[reason] = (tally.rejected[reason] ?? 0) + 1
  }
  const skip = (reason: SkipReason): void => {
    tally.skipped[reason] = (tally.skipped[reason] ?? 0) + 1
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
    refuse(index: number, detail: string): void {
      const place = places[index]
      if (!place) throw new Error(`PostHog refused event ${index} of ${events.length}`)
      tally.sent--
      reject(place, 'refused_by_posthog', detail)
    },
  }
}
