import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import {
  allTaken,
  type BatchOrigin,
  type EventSink,
  OperatorError,
  type OutgoingEvent,
  phaseOf,
  phases,
} from '@heapferry/domain'
import type { ExportPlace as Place } from '@heapferry/sources'

const gzipAsync = promisify(gzip)
// PostHog's importer sends each line through its SDK, which says when it sent it: PostHog would shift the timestamp by
// the difference between the clocks, differently each time, and a repeated line with another timestamp is a second event.
const lineEnd = Buffer.from(',"$ignore_sent_at":true}}\n')

/**
 * Writes batches as files of a folder or a bucket instead of sending them: an event a line, in gzip, the shape that
 * PostHog's managed migrations import. A file is named for the rows that it comes from, so a batch that is repeated
 * replaces its file with the same bytes.
 */
export function jsonLinesSink(place: Place): EventSink {
  return {
    async send(events, _, origin) {
      const { files, repeated } = filesOf(events)
      try {
        for (const [nth, lines] of files.entries()) {
          await place.put(pathOf(origin, nth), [await gzipAsync(Buffer.concat(lines))])
        }
      } catch (cause) {
        if (cause instanceof OperatorError || !(cause instanceof Error)) throw cause
        throw new OperatorError(
          `${place.root} cannot be written to: ${cause.message}`,
          'Make room there, or give this user the right to write, then resume. Files that are there stay.',
          { cause },
        )
      }
      return repeated === 0 ? allTaken : { ...allTaken, warned: { repeated } }
    },
  }
}

/**
 * The lines of each file. PostHog's importer sends lines of one file together, and PostHog refuses a request that holds a
 * uuid twice: the same event is written once, and two rows with one `event_id` that differ go into two files.
 */
function filesOf(events: readonly OutgoingEvent[]): { files: Uint8Array[][]; repeated: number } {
  const files: Uint8Array[][] = []
  const written = new Map<string, Uint8Array[]>()
  let repeated = 0
  for (const { uuid, json } of events) {
    const twins = written.get(uuid) ?? []
    if (twins.some((twin) => Buffer.compare(twin, json) === 0)) {
      repeated++
      continue
    }
    const lines = (files[twins.length] ??= [])
    lines.push(withoutClosingBraces(json), lineEnd)
    written.set(uuid, [...twins, json])
  }
  return { files, repeated }
}

const closingBraces = Buffer.from('}}')

/** Open for one more property: they come last in an event, and are never none. */
function withoutClosingBraces(json: Uint8Array): Uint8Array {
  if (Buffer.compare(json.subarray(-2), closingBraces) !== 0) throw new Error('an event that ends with no properties')
  return json.subarray(0, -2)
}

/** Sorted by path, files are in the order to import them in: people before events, and those day by day. */
function pathOf({ table, day, name }: BatchOrigin, nth: number): string {
  const phase = phaseOf(table.kind)
  const date = day === null ? 'undated' : new Date(day * 86_400_000).toISOString().slice(0, 10)
  const file = `${encodeURIComponent(table.name)}-${name}${nth === 0 ? '' : `.${nth + 1}`}.jsonl.gz`
  return `${phases.indexOf(phase) + 1}-${phase}/${date}/${file}`
}
