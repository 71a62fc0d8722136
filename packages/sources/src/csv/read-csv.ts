import type { Chunk, CsvDialect, ExportFile, Position, Slice, SliceLimits } from '@heapferry/domain'
import type { Blob } from '../blob.ts'
import { parseRows } from './parse-rows.ts'
import { scanRows } from './scan-rows.ts'

/** The rows of a chunk of a CSV file. A cursor is the number of bytes from the chunk's start. */
export async function* readCsv(
  blob: Blob,
  dialect: CsvDialect,
  columns: ExportFile['columns'],
  chunk: Chunk,
  from: Position,
  limits: SliceLimits,
): AsyncGenerator<Slice> {
  const { start, end } = chunk.range
  let row = chunk.firstRow + from.rows
  for await (const group of scanRows(blob, { start: start + from.cursor, end, dialect, group: limits })) {
    yield { columns, rows: parseRows(group, row, dialect, columns.length), next: group.next - start }
    row += group.spans.length
  }
}
