import type { Columns, Cut, Piece, Range, ReadRow, Slice, SliceLimits, Types } from '@heapferry/domain'
import { type Blob, holding } from '../../places/blob.ts'
import type { Reading } from '../file-format.ts'
import { maxBlockBytes, openColumn } from './open-column.ts'
import { openParquet, type ParquetFile, type RowGroup } from './open-parquet.ts'
import type { ParquetCell } from './value-text.ts'

/**
 * Row groups are the least that a chunk can have: no part of one can be had for less. Small ones go together, as every
 * chunk has to read the footer, which tells of all.
 *
 * @param columns what those of the file are called; else as in the file
 */
export async function* cutParquet(blob: Blob, chunkBytes: number, columns?: Columns): AsyncGenerator<Cut> {
  const file = await openParquet(blob)
  let together: RowGroup[] = []
  let bytes = 0
  for (const group of file.rowGroups) {
    if (group.rows === 0) continue
    together.push(group)
    bytes += group.end - group.start
    if (bytes < chunkBytes) continue
    yield await cutOf(file, together, columns)
    together = []
    bytes = 0
  }
  if (together.length > 0) yield await cutOf(file, together, columns)
}

async function cutOf(file: ParquetFile, groups: readonly RowGroup[], columns?: Columns): Promise<Cut> {
  const [first] = groups
  const last = groups.at(-1)
  if (!first || !last) throw new Error('a chunk without a row group')
  const range = { ...rangeOf(first), end: rangeOf(last).end }
  const rows = range.end - range.start
  return { range, firstRow: range.start + 1, rows, first: await firstTimeOf(file, first, columns) }
}

type RowRange = Extract<Range, { kind: 'rows' }>

/** Without reading any row. */
export async function rowGroupRanges(blob: Blob): Promise<RowRange[]> {
  const { rowGroups } = await openParquet(blob)
  return rowGroups.filter(({ rows }) => rows > 0).map(rangeOf)
}

function rangeOf({ firstRow, rows }: RowGroup): RowRange {
  return { kind: 'rows', start: firstRow, end: firstRow + rows }
}

/** The first row with its time alone, all that a plan asks of it: every other column would cost a page more. */
async function firstTimeOf(file: ParquetFile, group: RowGroup, columns?: Columns): Promise<ReadRow | null> {
  const time = file.columns.find(({ name }, index) => (columns?.[index] ?? name.toLowerCase()) === 'time')
  if (!time) return null
  const window = { group, start: 0, cells: [await openColumn(file, group, time).take(1)] }
  const [row] = rowsOf(window, { columns: ['time'] }, 0, 1)
  return row ?? null
}

// 2,000 rows of 25 columns: more at once are no faster, and are held, times four chunks a worker.
const windowCells = 50_000
const maxWindowRows = 10_000

/** The rows of a piece, a window at a time. A cursor is the number of rows from the piece's start. */
export async function* readParquet(
  blob: Blob,
  columns: Columns,
  { piece, from, limits }: Reading,
): AsyncGenerator<Slice> {
  const { start, end: endRow } = boundsOf(piece)
  const file = await openParquet(blob)
  const types = file.columns.map(({ type }) => type)
  for await (const window of windowsOf(file, start + from.cursor, endRow)) {
    const rows = window.cells[0]?.length ?? 0
    const before = window.group.firstRow + window.start - start
    for (let at = 0; at < rows; ) {
      const end = sliceEnd(window, at, rows, limits)
      yield { rows: rowsOf(window, { columns, types }, at, end), next: before + end }
      at = end
    }
  }
}

function boundsOf({ range }: Piece): { start: number; end: number } {
  switch (range.kind) {
    case 'rows':
      return range
    case 'whole':
      return { start: 0, end: Number.POSITIVE_INFINITY }
    case 'bytes':
      throw new Error('a piece of a Parquet file is given in bytes')
  }
}

/** Some rows of a row group, column by column. */
interface Window {
  group: RowGroup
  /** Rows of the row group before it. */
  start: number
  cells: readonly (readonly ParquetCell[])[]
}

async function* windowsOf(file: ParquetFile, start: number, end: number): AsyncGenerator<Window> {
  const windowRows = Math.max(1, Math.min(maxWindowRows, Math.floor(windowCells / file.columns.length)))
  for (const group of file.rowGroups) {
    const first = Math.max(0, start - group.firstRow)
    const last = Math.min(group.rows, end - group.firstRow)
    if (first >= last) continue
    const source = { ...file, blob: await inOneFetch(file.blob, group) }
    const columns = file.columns.map((column) => openColumn(source, group, column))
    await Promise.all(columns.map((column) => column.skip(first)))
    for (let at = first; at < last; at += windowRows) {
      const rows = Math.min(windowRows, last - at)
      yield { group, start: at, cells: await Promise.all(columns.map((column) => column.take(rows))) }
    }
  }
}

/** With the bytes of a small row group at hand, which would else take a fetch for each of its columns. */
async function inOneFetch(blob: Blob, { start, end }: RowGroup): Promise<Blob> {
  const isWithin = start >= 0 && end <= blob.version.sizeBytes
  return isWithin && end - start <= maxBlockBytes ? holding(blob, start, end) : blob
}

/** Where the rows from `start` on reach one of the limits; at least one row. */
function sliceEnd({ cells }: Window, start: number, rows: number, limits: SliceLimits): number {
  const last = Math.min(rows, start + limits.rows)
  let bytes = 0
  let end = start
  while (end < last && (bytes < limits.bytes || end === start)) {
    for (const column of cells) {
      const cell = column[end]
      if (typeof cell === 'string') bytes += cell.length
    }
    end++
  }
  return end
}

/** A row is readable where all of its cells are. */
function* rowsOf(
  { group, start, cells }: Window,
  { columns, types }: { columns: Columns; types?: Types },
  from: number,
  to: number,
): Generator<ReadRow> {
  for (let row = from; row < to; row++) {
    const place = { row: group.firstRow + start + row + 1, byte: group.start }
    const values: (string | null)[] = []
    let detail: string | null = null
    for (const column of cells) {
      const cell = column[row] ?? null
      if (cell === null || typeof cell === 'string') values.push(cell)
      else detail ??= cell.detail
    }
    yield detail === null
      ? { kind: 'row', place, columns, values, types }
      : { kind: 'unreadable', place, reason: 'not_decodable', detail }
  }
}
