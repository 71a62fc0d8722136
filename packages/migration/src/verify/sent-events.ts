import type { ConverterFor, ExportFile, FileId, PostHogEvent, Source } from '@heapferry/domain'
import { conversionOf } from '../end-of-row.ts'
import { readAhead } from '../read-ahead.ts'

export interface RereadingWork {
  source: Pick<Source, 'readAll'>
  converterFor: ConverterFor
  signal: AbortSignal
  onRows?: ((table: string, rows: number) => void) | undefined
}

/** Numbers of rows, by the file in which they stand. */
export type RowsOfFiles = ReadonlyMap<FileId, ReadonlySet<number>>

/**
 * What the rows of files became, slice by slice.
 * @param leftOut rows of which the export does not tell that
 * @throws OperatorError when a file cannot be read, or is not the one that the run was planned with
 */
export async function* sentEvents(
  files: readonly ExportFile[],
  leftOut: RowsOfFiles,
  work: RereadingWork,
): AsyncGenerator<{ file: ExportFile; events: readonly PostHogEvent[] }> {
  for await (const { file, slices } of readAhead(files, work.source.readAll)) {
    const left = leftOut.get(file.id)
    let seen = 0
    for await (const { rows } of slices) {
      work.signal.throwIfAborted()
      const events: PostHogEvent[] = []
      for (const row of rows) {
        seen++
        if (left?.has(row.place.row)) continue
        const conversion = conversionOf(row, file.table, work.converterFor)
        if (conversion.kind === 'event') events.push(conversion.event)
      }
      yield { file, events }
      work.onRows?.(file.table.name, seen)
    }
  }
}
