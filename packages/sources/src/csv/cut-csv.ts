import type { CsvDialect, Cut, Values } from '@heapferry/domain'
import type { Blob } from '../blob.ts'
import { parseRows } from './parse-rows.ts'
import { scanRows } from './scan-rows.ts'

/**
 * Cuts a CSV file into chunks of about `chunkBytes` without parsing its rows. The cuts tile the file from its first
 * row to its end, and depend on nothing but its bytes: cutting again gives the same chunks.
 */
export async function* cutCsv(
  blob: Blob,
  file: { dialect: CsvDialect; columns: readonly string[]; firstRowByte: number },
  chunkBytes: number,
): AsyncGenerator<Cut> {
  const { dialect, columns, firstRowByte } = file
  let start = firstRowByte
  let firstRow = 1
  let rows = 0
  let firstValues: Values | null = null
  // Groups of a quarter chunk: a cut falls on the first group end at or after the chunk's size.
  const group = { rows: Number.POSITIVE_INFINITY, bytes: Math.ceil(chunkBytes / 4) }
  const scan = { start, end: blob.version.sizeBytes, dialect, group, blockBytes: 4 * 1024 * 1024 }
  for await (const { spans, next, ...bytes } of scanRows(blob, scan)) {
    if (rows === 0 && spans[0]) {
      const [first] = parseRows(
        { ...bytes, spans: spans.slice(0, 1), next: spans[0].end },
        firstRow,
        dialect,
        columns.length,
      )
      firstValues = first?.kind === 'row' ? first.values : null
    }
    rows += spans.length
    if (next - start < chunkBytes && next < blob.version.sizeBytes) continue
    yield { range: { kind: 'bytes', start, end: next }, firstRow, rows, firstValues }
    start = next
    firstRow += rows
    rows = 0
    firstValues = null
  }
}
