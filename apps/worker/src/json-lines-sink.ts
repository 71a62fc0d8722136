import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { allTaken, type BatchOrigin, type EventSink, OperatorError, phaseOf, phases } from '@heapferry/domain'
import type { ExportPlace as Place } from '@heapferry/sources'

const gzipAsync = promisify(gzip)
const lineEnd = Buffer.from('\n')

/**
 * Writes batches as files of a folder or a bucket instead of sending them: an event a line, in gzip, the shape that
 * PostHog's managed migrations import. A file is named for the rows that it comes from, so a batch that is repeated
 * replaces its file with the same bytes.
 */
export function jsonLinesSink(place: Place): EventSink {
  return {
    async send(events, _, origin) {
      const lines = events.flatMap(({ json }) => [json, lineEnd])
      try {
        await place.put(pathOf(origin), [await gzipAsync(Buffer.concat(lines))])
      } catch (cause) {
        if (cause instanceof OperatorError || !(cause instanceof Error)) throw cause
        throw new OperatorError(
          `${place.root} cannot be written to: ${cause.message}`,
          'Make room there, or give this user the right to write, then resume. Files that are there stay.',
          { cause },
        )
      }
      return allTaken
    },
  }
}

/** Sorted by path, files are in the order to import them in: people before events, and those day by day. */
function pathOf({ table, day, name }: BatchOrigin): string {
  const phase = phaseOf(table.kind)
  const date = day === null ? 'undated' : new Date(day * 86_400_000).toISOString().slice(0, 10)
  return `${phases.indexOf(phase) + 1}-${phase}/${date}/${encodeURIComponent(table.name)}-${name}.jsonl.gz`
}
