import type { CsvDialect } from '@heapferry/domain'
import type { Blob } from '../blob.ts'
import { defaultMaxRowBytes, moreBytesNeeded, RowScanner, type RowSpan } from './row-scanner.ts'

/** Some rows of a file, in order. Offsets of `spans` and `next` are those of the file; `bytes` start at `bytesAt`. */
export interface RowGroup {
  bytes: Buffer
  bytesAt: number
  spans: RowSpan[]
  next: number
}

export interface ScanOptions {
  start: number
  /** A row ends here for sure: the end of the file, or of a chunk. */
  end: number
  dialect: CsvDialect
  /** A group is handed on when it has so many rows or bytes; its last row may exceed the bytes. */
  group: { rows: number; bytes: number }
  blockBytes?: number
  maxRowBytes?: number
}

const newline = 0x0a
const carriageReturn = 0x0d

/**
 * The rows of a range, in groups. Memory is bounded by a group, a block and the longest row, whatever the file holds:
 * a longer row is skimmed to its end. Lines without a character are not rows.
 */
export async function* scanRows(blob: Blob, options: ScanOptions): AsyncGenerator<RowGroup> {
  const { end, group, blockBytes = 1024 * 1024, maxRowBytes = defaultMaxRowBytes } = options
  const scanner = new RowScanner(options.dialect, maxRowBytes)
  let bytes = Buffer.alloc(0)
  let bytesAt = options.start
  let readTo = options.start
  let rowAt = options.start
  let groupAt = options.start
  let spans: RowSpan[] = []

  const takeGroup = (): RowGroup => {
    const taken = { bytes, bytesAt, spans, next: rowAt }
    spans = []
    groupAt = rowAt
    return taken
  }
  const readMore = async (keepFrom: number): Promise<void> => {
    const kept = bytes.subarray(keepFrom - bytesAt)
    const grown = Buffer.allocUnsafe(kept.length + Math.min(blockBytes, end - readTo))
    kept.copy(grown)
    await blob.fill(grown.subarray(kept.length), readTo)
    readTo += grown.length - kept.length
    bytes = grown
    bytesAt = keepFrom
    scanner.scan(bytes)
  }

  while (rowAt < end) {
    const row = rowAt < readTo ? scanner.next(rowAt - bytesAt, readTo === end) : moreBytesNeeded
    if (row !== moreBytesNeeded) {
      const span = { start: bytesAt + row.start, end: bytesAt + row.end, state: row.state }
      if (!isBlank(bytes, row)) spans.push(span)
      rowAt = span.end
      if (spans.length >= group.rows || rowAt - groupAt >= group.bytes) yield takeGroup()
    } else if (readTo - rowAt >= maxRowBytes) {
      // No line end within the longest row: look for one without keeping what lies before it.
      const start = rowAt
      if (spans.length > 0) yield takeGroup()
      let lineEnd = -1
      while (lineEnd === -1 && readTo < end) {
        await readMore(readTo)
        lineEnd = bytes.indexOf(newline)
      }
      rowAt = lineEnd === -1 ? end : bytesAt + lineEnd + 1
      spans.push({ start, end: rowAt, state: 'too_large' })
      yield takeGroup()
    } else {
      await readMore(groupAt)
    }
  }
  if (spans.length > 0 || groupAt < end) yield takeGroup()
}

function isBlank(bytes: Buffer, row: RowSpan): boolean {
  const length = row.end - row.start
  if (length > 2) return false
  return (
    bytes[row.start] === newline ||
    (bytes[row.start] === carriageReturn && (length === 1 || bytes[row.start + 1] === newline))
  )
}
