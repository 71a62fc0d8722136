import type { Cut, Piece, ReadRow, Slice } from '@heapferry/domain'
import type { FileContent } from '../../unpacking/content.ts'
import type { Reading } from '../file-format.ts'
import type { RowFinder, RowSpan } from './row-finder.ts'
import { type ScannedRows, scanRows } from './scan-rows.ts'

/** How one kind of text is split into rows, and how they are read. */
export interface TextRows {
  finder(): RowFinder
  /** Which of a group's rows belong to the table; all, where it is absent. Must answer from the row's bytes alone. */
  select?(group: ScannedRows): RowSpan[]
  /** The rows of a group, one by one. */
  parse(group: ScannedRows, firstRow: number): Iterable<ReadRow>
}

/**
 * Cuts a text into chunks of about `chunkBytes` without parsing its rows. The cuts tile it from its first row to its
 * end, and depend on nothing but its bytes: cutting again gives the same chunks.
 *
 * @param chunkBytes null: one chunk, for what can only be read from its beginning
 */
export async function* cutText(
  content: FileContent,
  format: TextRows,
  firstRowByte: number,
  chunkBytes: number | null,
): AsyncGenerator<Cut> {
  let start = firstRowByte
  let firstRow = 1
  let rows = 0
  let first: ReadRow | null = null
  let end = start
  const cut = (): Cut => ({
    range: chunkBytes === null ? { kind: 'whole' } : { kind: 'bytes', start, end },
    firstRow,
    rows,
    first,
  })
  // Groups of a quarter chunk: a cut falls on the first group end at or after the chunk's size.
  const group = { rows: Number.POSITIVE_INFINITY, bytes: Math.ceil((chunkBytes ?? wholeGroupBytes) / 4) }
  for await (const all of scanRows(content.blocks(start), { start, finder: format.finder(), group })) {
    const selected = selectedOf(format, all)
    const [span] = selected.spans
    if (rows === 0 && span) first = firstOf(format.parse({ ...selected, spans: [span] }, firstRow))
    rows += selected.spans.length
    end = all.next
    // A chunk without a row would be a job for nothing: it grows until it has one.
    if (chunkBytes === null || end - start < chunkBytes || rows === 0) continue
    yield cut()
    start = end
    firstRow += rows
    rows = 0
    first = null
  }
  if (rows > 0 || end > start) yield cut()
}

const wholeGroupBytes = 8 * 1024 * 1024

/** The rows of a piece. A cursor is the number of bytes from the piece's start, or from the first row of a whole file. */
export async function* readText(
  content: FileContent,
  format: TextRows,
  { piece, from, limits, firstRowByte }: Reading & { firstRowByte: number },
): AsyncGenerator<Slice> {
  const { start, end } = boundsOf(piece, firstRowByte)
  const at = start + from.cursor
  let row = piece.firstRow + from.rows
  for await (const all of scanRows(content.blocks(at, end), { start: at, finder: format.finder(), group: limits })) {
    const group = selectedOf(format, all)
    yield { rows: format.parse(group, row), next: group.next - start }
    row += group.spans.length
  }
}

function boundsOf({ range }: Piece, firstRowByte: number): { start: number; end?: number } {
  switch (range.kind) {
    case 'bytes':
      return range
    case 'whole':
      return { start: firstRowByte }
    case 'rows':
      throw new Error('a piece of a text is given in rows')
  }
}

function selectedOf(format: TextRows, group: ScannedRows): ScannedRows {
  return format.select ? { ...group, spans: format.select(group) } : group
}

function firstOf<T>(all: Iterable<T>): T | null {
  for (const one of all) return one
  return null
}
