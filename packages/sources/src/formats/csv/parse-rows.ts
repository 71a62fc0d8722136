import { isUtf8 } from 'node:buffer'
import type { Columns, CsvDialect, Place, ReadRow } from '@heapferry/domain'
import { parse } from 'csv-parse/sync'
import { isCommon } from './dialect-scanner.ts'
import { splitCells } from './split-cells.ts'
import { problemOf } from '../text/problem-of.ts'
import { defaultMaxRowBytes, type RowSpan } from '../text/row-finder.ts'
import type { ScannedRows } from '../text/scan-rows.ts'

/**
 * The rows of a group, one by one. csv-parse is the judge of rows with doubled quotes outside of quoted cells; all others
 * have one reading only, and for them it would cost a worker a sixth of its time (docs/benchmarks.md).
 */
export function parseRows(
  group: ScannedRows,
  firstRow: number,
  dialect: CsvDialect,
  columns: Columns,
): Generator<ReadRow> {
  return isCommon(dialect)
    ? parseCommonRows(group, firstRow, dialect, columns)
    : parseDialectRows(group, firstRow, dialect, columns)
}

function* parseCommonRows(
  group: ScannedRows,
  firstRow: number,
  dialect: CsvDialect,
  columns: Columns,
): Generator<ReadRow> {
  const { bytes, bytesAt, spans } = group
  const isWhole = isUtf8(bytes.subarray((spans[0]?.start ?? bytesAt) - bytesAt, group.next - bytesAt))
  /** Null where the bytes are no UTF-8. */
  const textOf = (span: RowSpan): string | null => {
    const start = span.start - bytesAt
    const end = withoutLineEnd(bytes, span.end - bytesAt)
    return isWhole || isUtf8(bytes.subarray(start, end)) ? bytes.toString('utf8', start, end) : null
  }
  const rowOf = rowMaker(dialect, columns)

  let row = firstRow
  for (const span of spans) {
    const place = { row: row++, byte: span.start }
    const problem = problemOf(span)
    const text = problem ? null : textOf(span)
    if (problem) yield { kind: 'unreadable', place, ...problem, detail: problem.detail + hintOf(span, group, dialect) }
    else if (text === null) yield unreadable(place, 'the row is not valid UTF-8')
    else if (span.state === 'plain') yield rowOf(place, text.split(dialect.delimiter))
    else {
      const cells = splitQuoted(text, dialect) ?? parseRecord(text, dialect)
      yield cells ? rowOf(place, cells) : unreadable(place, 'the quotes of the row do not pair up')
    }
  }
}

/** The rows of a group whose dialect csv-parse does not know, or not as the scanner has it. */
function* parseDialectRows(
  { bytes, bytesAt, spans }: ScannedRows,
  firstRow: number,
  dialect: CsvDialect,
  columns: Columns,
): Generator<ReadRow> {
  const rowOf = rowMaker(dialect, columns)
  for (const [nth, span] of spans.entries()) {
    const place = { row: firstRow + nth, byte: span.start }
    const problem = problemOf(span)
    const row = bytes.subarray(span.start - bytesAt, span.end - bytesAt)
    if (problem) yield { kind: 'unreadable', place, ...problem }
    else if (!isUtf8(row)) yield unreadable(place, 'the row is not valid UTF-8')
    else yield rowOf(place, splitCells(lineText(row.toString('utf8'), dialect), dialect))
  }
}

/** Where a broken row looks as if another dialect would read it. */
function hintOf({ state, start, end }: RowSpan, { bytes, bytesAt }: ScannedRows, { quote }: CsvDialect): string {
  if ((state !== 'stray_quote' && state !== 'unclosed_quote') || quote === '') return ''
  const at = bytes.indexOf(`\\${quote}`, start - bytesAt)
  return at === -1 || at >= end - bytesAt
    ? ''
    : '. A backslash stands before a quote: if the whole file has it so, say csv: { escape: "\\\\" } in the mapping file'
}

function unreadable(place: Place, detail: string): ReadRow {
  return { kind: 'unreadable', place, reason: 'not_decodable', detail }
}

/** A row's text without its line end, carriage returns before it included. */
export function lineText(text: string, { quote, escape, lineEnd }: CsvDialect): string {
  if (lineEnd !== undefined) return text.endsWith(lineEnd) ? text.slice(0, -1) : text
  const line = text.replace(/\r*\n?$/, '')
  if (escape === undefined || quote !== '' || text[line.length] !== '\r') return line
  // An escaped carriage return belongs to the last cell.
  const backslashes = /\\*$/.exec(line)?.[0].length ?? 0
  return backslashes % 2 === 1 ? `${line}\r` : line
}

/** One record's cells, as a header line is read. Null where the quotes do not pair up. */
export function parseLine(text: string, dialect: CsvDialect): (string | null)[] | null {
  if (!isCommon(dialect)) return splitCells(text, dialect)
  if (dialect.quote === '' || !text.includes(dialect.quote)) return text.split(dialect.delimiter)
  return parseRecord(text, dialect)
}

/**
 * The cells of a row that the scanner found well quoted: every quoted cell ends at the next quote that is not doubled, which
 * a delimiter or the end of the row follows. Null where quotes are doubled elsewhere.
 */
function splitQuoted(text: string, { delimiter, quote }: CsvDialect): string[] | null {
  const doubled = quote + quote
  const cells: string[] = []
  let hasDoubled = false
  let hasQuoteOutside = false
  for (let at = 0; ; at++) {
    if (text.startsWith(quote, at)) {
      const start = at + 1
      let close = text.indexOf(quote, start)
      let isDoubled = false
      while (close !== -1 && text.startsWith(quote, close + 1)) {
        isDoubled = true
        close = text.indexOf(quote, close + 2)
      }
      const end = close === -1 ? text.length : close
      const cell = text.slice(start, end)
      cells.push(isDoubled ? cell.replaceAll(doubled, quote) : cell)
      hasDoubled ||= isDoubled
      at = end + 1
    } else {
      const found = text.indexOf(delimiter, at)
      const end = found === -1 ? text.length : found
      const cell = text.slice(at, end)
      cells.push(cell)
      hasQuoteOutside ||= cell.includes(quote)
      at = end
    }
    if (at >= text.length) return hasQuoteOutside && (hasDoubled || text.includes(doubled)) ? null : cells
  }
}

/** One record's cells as csv-parse reads them; null where the quotes do not pair up. */
function parseRecord(text: string, dialect: CsvDialect): string[] | null {
  try {
    const records: string[][] = parse(text, {
      delimiter: dialect.delimiter,
      quote: dialect.quote,
      escape: dialect.quote,
      record_delimiter: '\n',
      relax_column_count: true,
      // A quote inside of an unquoted cell is text, as the row scanner has it.
      relax_quotes: true,
      max_record_size: 2 * defaultMaxRowBytes,
    })
    return records.length === 1 ? (records[0] ?? null) : null
  } catch {
    return null
  }
}

function rowMaker(
  { escape, nulls = [] }: CsvDialect,
  columns: Columns,
): (place: Place, cells: (string | null)[]) => ReadRow {
  const columnCount = columns.length
  // Where backslashes escape, a cell of `\N` was found before its text was read.
  const isNullText = (text: string | null): boolean =>
    text === '' || (text === '\\N' && escape === undefined) || (text !== null && nulls.includes(text))
  const isUsual = escape === undefined && nulls.length === 0
  return (place, cells) => {
    if (cells.length !== columnCount) {
      return unreadable(place, `the row has ${cells.length} cells, its table ${columnCount} columns`)
    }
    if (!isUsual) return { kind: 'row', place, columns, values: cells.map((text) => (isNullText(text) ? null : text)) }
    for (let column = 0; column < columnCount; column++) {
      if (cells[column] === '' || cells[column] === '\\N') cells[column] = null
    }
    return { kind: 'row', place, columns, values: cells }
  }
}

function withoutLineEnd(bytes: Buffer, end: number): number {
  let last = bytes[end - 1] === 0x0a ? end - 1 : end
  while (bytes[last - 1] === 0x0d) last--
  return last
}
