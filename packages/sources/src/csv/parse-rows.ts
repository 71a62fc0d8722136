import { isUtf8 } from 'node:buffer'
import type { CsvDialect, ReadRow, RejectReason } from '@heapferry/domain'
import { parse } from 'csv-parse/sync'
import { defaultMaxRowBytes, type RowSpan } from './row-scanner.ts'
import type { RowGroup } from './scan-rows.ts'

/**
 * The rows of a group. Most rows quote nothing and are split at the delimiter; csv-parse reads all others in one call.
 * Measured on 590-byte rows of 25 columns, a quarter of them quoted: see docs/benchmarks.md.
 */
export function parseRows(group: RowGroup, firstRow: number, dialect: CsvDialect, columnCount: number): ReadRow[] {
  const allUtf8 = isUtf8(
    group.bytes.subarray((group.spans[0]?.start ?? group.bytesAt) - group.bytesAt, group.next - group.bytesAt),
  )
  const rows: ReadRow[] = []
  const quoted: { index: number; text: string }[] = []
  for (const [index, span] of group.spans.entries()) {
    const place = { row: firstRow + index, byte: span.start }
    const problem = problemOf(span)
    if (problem) {
      rows.push({ kind: 'unreadable', place, ...problem })
      continue
    }
    const bytes = withoutLineEnd(group.bytes.subarray(span.start - group.bytesAt, span.end - group.bytesAt))
    if (!allUtf8 && !isUtf8(bytes)) {
      rows.push({ kind: 'unreadable', place, reason: 'not_decodable', detail: 'the row is not valid UTF-8' })
      continue
    }
    const text = bytes.toString('utf8')
    if (span.state === 'quoted') quoted.push({ index, text })
    rows.push(rowOf(place, span.state === 'quoted' ? [] : text.split(dialect.delimiter), columnCount))
  }
  if (quoted.length > 0) {
    const parsed = parseQuoted(
      quoted.map(({ text }) => text),
      dialect,
    )
    for (const [nth, { index }] of quoted.entries()) {
      const place = { row: firstRow + index, byte: group.spans[index]?.start ?? 0 }
      const cells = parsed[nth]
      rows[index] = cells
        ? rowOf(place, cells, columnCount)
        : { kind: 'unreadable', place, reason: 'not_decodable', detail: 'the quotes of the row do not pair up' }
    }
  }
  return rows
}

/** One record's cells, as a header line is read. Null where the quotes do not pair up. */
export function parseLine(text: string, dialect: CsvDialect): string[] | null {
  return dialect.quote !== '' && text.includes(dialect.quote)
    ? (parseQuoted([text], dialect)[0] ?? null)
    : text.split(dialect.delimiter)
}

function parseQuoted(texts: string[], dialect: CsvDialect): (string[] | null)[] {
  const records = tryParse(texts.join('\n'), dialect)
  if (records?.length === texts.length) return records
  return texts.map((text) => {
    const record = tryParse(text, dialect)
    return record?.length === 1 ? (record[0] ?? null) : null
  })
}

function tryParse(text: string, dialect: CsvDialect): string[][] | null {
  try {
    return parse(text, {
      delimiter: dialect.delimiter,
      quote: dialect.quote,
      escape: dialect.quote,
      record_delimiter: '\n',
      relax_column_count: true,
      // A quote inside of an unquoted cell is text, as the row scanner has it.
      relax_quotes: true,
      max_record_size: 2 * defaultMaxRowBytes,
    })
  } catch {
    return null
  }
}

function rowOf(place: { row: number; byte: number }, cells: (string | null)[], columnCount: number): ReadRow {
  if (cells.length !== columnCount) {
    const detail = `the row has ${cells.length} cells, its table ${columnCount} columns`
    return { kind: 'unreadable', place, reason: 'not_decodable', detail }
  }
  for (let column = 0; column < columnCount; column++) {
    if (cells[column] === '' || cells[column] === '\\N') cells[column] = null
  }
  return { kind: 'row', place, values: cells }
}

function problemOf(span: RowSpan): { reason: RejectReason; detail: string } | null {
  switch (span.state) {
    case 'plain':
    case 'quoted':
      return null
    case 'unclosed_quote':
      return { reason: 'not_decodable', detail: 'a quote is opened and never closed' }
    case 'stray_quote':
      return { reason: 'not_decodable', detail: 'text follows a closing quote' }
    case 'too_large':
      return { reason: 'row_too_large', detail: `the row has ${span.end - span.start} bytes` }
  }
}

function withoutLineEnd(bytes: Buffer): Buffer {
  let end = bytes.length
  if (bytes[end - 1] === 0x0a) end--
  if (bytes[end - 1] === 0x0d) end--
  return bytes.subarray(0, end)
}
