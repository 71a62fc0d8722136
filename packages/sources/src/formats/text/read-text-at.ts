import type { FoundRow, Place, ReadRow } from '@heapferry/domain'
import type { FileContent } from '../../unpacking/content.ts'
import type { WantedPlaces } from '../wanted-places.ts'
import { problemOf } from './problem-of.ts'
import type { TextRows } from './read-text.ts'
import type { RowSpan } from './row-finder.ts'
import { type ScannedRows, scanRows } from './scan-rows.ts'

const group = { rows: 1000, bytes: 256 * 1024 }
// Reading so much costs less than asking a store for another part of the file.
const jumpBytes = 4 * 1024 * 1024

/**
 * The rows that begin at the wanted bytes. What lies between two of them is passed over unparsed, or not read at all where
 * it is much and the file can be entered anywhere.
 */
export async function* readTextAt(
  content: FileContent,
  format: TextRows,
  wanted: WantedPlaces,
  canJump: boolean,
): AsyncGenerator<FoundRow> {
  while (wanted.first) {
    const start = wanted.first.byte
    let jumps = false
    for await (const rows of scanRows(content.blocks(start), { start, finder: format.finder(), group })) {
      for (const span of rows.spans) {
        yield* wanted.missing(({ byte }) => byte < span.start)
        if (wanted.first?.byte !== span.start) continue
        const place: Place = wanted.first
        wanted.pass()
        yield foundRow(rows, span, place, format)
      }
      yield* wanted.missing(({ byte }) => byte < rows.next)
      jumps = canJump && wanted.first !== undefined && wanted.first.byte - rows.next > jumpBytes
      if (jumps || !wanted.first) break
    }
    if (!jumps) yield* wanted.missing(() => true)
  }
}

function foundRow(rows: ScannedRows, span: RowSpan, place: Place, format: TextRows): FoundRow {
  const [row] = format.parse({ ...rows, spans: [span], next: span.end }, place.row)
  if (!row) throw new Error(`the row at byte ${place.byte} was not parsed`)
  return { row, text: row.kind === 'unreadable' ? textOf(rows, span) : null }
}

/** Null for a row that was too large to be held, and where the file breaks off. */
function textOf({ bytes, bytesAt }: ScannedRows, { state, start, end }: RowSpan): string | null {
  if (state === 'too_large' || state === 'damaged') return null
  return bytes.toString('utf8', start - bytesAt, end - bytesAt).replace(/[\r\n]+$/, '')
}

/** Reads a text that should hold one row and nothing else. */
export async function readRowText(text: string, format: TextRows, place: Place): Promise<ReadRow> {
  const unreadable = (detail: string): ReadRow => ({ kind: 'unreadable', place, reason: 'not_decodable', detail })
  if (text.includes('\uFFFD')) return unreadable('its text still has � where the file has bytes that are no UTF-8')
  const bytes = Buffer.from(text)
  const found: ReadRow[] = []
  for await (const rows of scanRows(only(bytes), { start: 0, finder: format.finder(), group: { ...group, rows: 2 } })) {
    if (found.length + rows.spans.length > 1) return unreadable('its text holds several rows')
    for (const span of rows.spans) {
      const problem = problemOf(span)
      if (problem) return { kind: 'unreadable', place, ...problem }
      found.push(...format.parse({ ...rows, spans: [span], next: span.end }, place.row))
    }
  }
  const [row] = found
  return row ? { ...row, place } : unreadable('its text holds no row')
}

async function* only(block: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(block)
}
