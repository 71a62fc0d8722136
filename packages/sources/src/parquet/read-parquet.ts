import {
  type Chunk,
  type Columns,
  type Cut,
  OperatorError,
  type Position,
  type ReadRow,
  type Slice,
  type SliceLimits,
} from '@heapferry/domain'
import { parquetRead } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import type { Blob } from '../blob.ts'
import { exactParsers, openParquet, type ParquetFile } from './open-parquet.ts'

/** A row group is a chunk: its columns lie together, and no part of it can be had for less. */
export async function* cutParquet(blob: Blob, columns: Columns): AsyncGenerator<Cut> {
  const file = await openParquet(blob)
  let start = 0
  for (const group of file.metadata.row_groups) {
    const rows = Number(group.num_rows)
    if (rows === 0) continue
    const end = start + rows
    const [first] = await windowOf(file, columns, start, start + 1, groupByte(file, start))
    yield { range: { kind: 'rows', start, end }, firstRow: start + 1, rows, first: first ?? null }
    start = end
  }
}

// What is held at once, times four chunks a worker: 10,000 rows of 25 columns take 15 MB.
const windowCells = 250_000
const maxWindowRows = 10_000

/** The rows of a row group, a window at a time. A cursor is the number of rows from the chunk's start. */
export async function* readParquet(
  blob: Blob,
  columns: Columns,
  chunk: Chunk,
  from: Position,
  limits: SliceLimits,
): AsyncGenerator<Slice> {
  const { range } = chunk
  if (range.kind !== 'rows') throw new Error('a chunk of a Parquet file is not given in rows')
  const file = await openParquet(blob)
  const byte = groupByte(file, range.start)
  const windowRows = Math.max(1, Math.min(maxWindowRows, Math.floor(windowCells / Math.max(1, columns.length))))
  for (let at = range.start + from.cursor; at < range.end; at += windowRows) {
    const rows = await windowOf(file, columns, at, Math.min(at + windowRows, range.end), byte)
    for (let taken = 0; taken < rows.length; ) {
      const end = sliceEnd(rows, taken, limits)
      yield { rows: rows.slice(taken, end), next: at + end - range.start }
      taken = end
    }
  }
}

/** Where the rows from `start` on reach one of the limits; at least one row. */
function sliceEnd(rows: readonly ReadRow[], start: number, limits: SliceLimits): number {
  let bytes = 0
  let end = start
  while (end < rows.length && end - start < limits.rows && bytes < limits.bytes) {
    const row = rows[end++]
    if (row?.kind === 'row') for (const value of row.values) bytes += value?.length ?? 0
  }
  return end
}

/** Pages that cannot be decoded cost the rows of their window, each of which says so. */
async function windowOf(
  file: ParquetFile,
  columns: Columns,
  start: number,
  end: number,
  byte: number,
): Promise<ReadRow[]> {
  try {
    const decoded = await decode(file, start, end)
    return decoded.map((cells, index) => ({
      kind: 'row',
      place: { row: start + index + 1, byte },
      columns,
      values: file.columns.map((column, nth) => column.text(cells[nth])),
    }))
  } catch (error) {
    // A changed or unreadable file is no damage of its rows.
    if (!(error instanceof Error) || error instanceof OperatorError || 'code' in error) throw error
    return Array.from({ length: end - start }, (_, index) => ({
      kind: 'unreadable',
      place: { row: start + index + 1, byte },
      reason: 'not_decodable',
      detail: `rows ${start + 1} to ${end} of the Parquet file cannot be decoded: ${error.message.slice(0, 100)}`,
    }))
  }
}

async function decode({ buffer, metadata }: ParquetFile, rowStart: number, rowEnd: number): Promise<unknown[][]> {
  let rows: unknown[][] = []
  await parquetRead({
    file: buffer,
    metadata,
    rowStart,
    rowEnd,
    compressors,
    parsers: exactParsers,
    geoparquet: false,
    utf8: false,
    useOffsetIndex: true,
    onComplete: (all) => {
      rows = all
    },
  })
  return rows
}

/** Where the row group of a row starts in the file. */
function groupByte({ metadata }: ParquetFile, row: number): number {
  let start = 0
  for (const { num_rows, columns } of metadata.row_groups) {
    start += Number(num_rows)
    if (row >= start) continue
    const meta = columns[0]?.meta_data
    return Number(meta?.dictionary_page_offset ?? meta?.data_page_offset ?? 0)
  }
  return 0
}
