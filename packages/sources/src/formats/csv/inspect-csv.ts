import { isUtf8 } from 'node:buffer'
import { type CsvDialect, csvIn, type CsvMapping, OperatorError } from '@heapferry/domain'
import { beginningBytes } from '../../places/blob.ts'
import { type Beginning, beginningOf, type FileContent } from '../../unpacking/content.ts'
import { damagedBeforeRows } from '../../unpacking/damaged-content.ts'
import type { TableInFile, UnknownFile } from '../file-format.ts'
import { shortened } from '../shortened.ts'
import { firstLineIn, lineEndOf, separatorLine, startOf } from './first-line.ts'
import { lookAtDialect } from './look-at-dialect.ts'
import { parseLine } from './parse-rows.ts'

// A header of 450 columns (the widest known users table) takes 10 kB.
const headBytes = 256 * 1024

/** A number or a date: a warehouse column is never named so. */
const looksLikeData = /^-?\d[\d.,:e+ -]*$/

/** An id or a day: every row of a table has one, whatever its quotes are, and no header. */
const holdsData = /\d{6}|\d{4}-\d\d-\d\d/

const delimiters = [',', '|', '\t', ';'] as const

/** Files that are often renamed to .csv, or exported by mistake, by their first bytes. */
const otherFormats: { magic: Buffer; name: string }[] = [
  { magic: Buffer.from('PK\x03\x04', 'latin1'), name: 'ZIP or a spreadsheet' },
  { magic: Buffer.from([0xff, 0xfe, 0, 0]), name: 'UTF-32 text' },
  { magic: Buffer.from([0, 0, 0xfe, 0xff]), name: 'UTF-32 text' },
]

/**
 * Reads the header of a CSV file, or takes the columns that the mapping gives for a file that has none.
 * @returns none for an empty file
 * @throws OperatorError or UnusableFile when the file is no CSV file of a table
 */
export async function inspectCsv({
  content,
  path,
  table,
  mapping,
  beginning,
  looking,
}: Pick<UnknownFile, 'content' | 'path' | 'table' | 'mapping' | 'beginning' | 'looking'>): Promise<TableInFile[]> {
  const said = csvIn(mapping, table)
  const lineEnd = lineEndOf(beginning.bytes)
  // The header's own delimiter is not known yet; where its line ends does not depend on it unless a name holds a line end.
  const assumed: CsvDialect = { delimiter: said.delimiter ?? ',', quote: said.quote ?? '"', ...lineEnd }
  const near = firstLineIn(beginning.bytes, beginningBytes, assumed)
  const [{ bytes: head, damage }, askedBytes] =
    near !== null && looking.bytes <= beginningBytes
      ? [beginning, beginningBytes]
      : await headOf(content, Math.max(looking.bytes, near === null ? headBytes : beginningBytes))
  // A header that is cut off would give the columns of another table.
  if (damage !== null && !head.includes(lineEnd.lineEnd ?? '\n')) throw damagedBeforeRows(damage)
  const begin = startOf(head)
  if (head.length === begin) return []

  assertText(head, path)
  const separator = separatorLine(head, begin)
  const start = begin + separator.bytes
  if (head.length === start) return []
  const columnsSaid = mapping.tables[table]?.columns
  const given = Array.isArray(columnsSaid) ? columnsSaid : undefined
  const firstLine = firstLineIn(head, askedBytes, assumed, start)
  if (firstLine === null) {
    throw new OperatorError(
      `${path}: its first line does not end within ${askedBytes} bytes`,
      'Check that this is a CSV file; other formats cannot be read under this name.',
    )
  }
  const header = headerOf(firstLine.text, { ...said, delimiter: said.delimiter ?? separator.delimiter }, given?.length)
  const dialectOf = (firstRowByte: number, columnCount: number): CsvDialect => {
    const bytes = head.subarray(firstRowByte)
    const isWhole = head.length < askedBytes && damage === null
    const base = {
      delimiter: header.delimiter,
      ...lineEnd,
      ...(said.null !== undefined && { nulls: [said.null].flat() }),
    }
    const ofHeader = header.quote === "'" ? { ...said, quote: header.quote } : said
    return lookAtDialect({ bytes, isWhole, columnCount }, base, ofHeader, looking.shown)
  }
  const tableOf = (columns: readonly string[], firstRowByte: number): TableInFile => {
    const format = { kind: 'csv', ...dialectOf(firstRowByte, columns.length) } as const
    return { format, columns: unique(columns, path), firstRowByte }
  }
  const cells = header.cells?.map((cell) => (cell ?? '').trim().toLowerCase())
  if (given) {
    const columns = given.map((column) => column.toLowerCase())
    const repeatsThem = cells?.length === columns.length && cells.every((cell, index) => cell === columns[index])
    if (!repeatsThem && columns.every((column) => cells?.includes(column))) {
      throw new OperatorError(
        `${path}: its header names the columns of the mapping in another order`,
        `Take tables: { ${table}: { columns } } out of the mapping: the file's own header is enough.`,
      )
    }
    const isHeader = repeatsThem || cells?.some((cell) => looksLikeData.test(cell) || holdsData.test(cell)) === false
    const notices =
      cells && isHeader && !repeatsThem
        ? [`${path}: the columns of the mapping take the place of its header (${shortened(cells)})`]
        : []
    return [{ ...tableOf(columns, isHeader ? firstLine.end : start), notices }]
  }
  if (!cells) {
    throw new OperatorError(
      `${path}: the quotes of its first line do not pair up`,
      'Write the file again with quoting on.',
    )
  }
  const datum = cells.find((cell) => looksLikeData.test(cell))
  if (datum !== undefined) {
    throw new OperatorError(
      `${path}: its first line is a row and not a header: one of its cells is "${datum.slice(0, 40)}"`,
      `Give the columns in the mapping file: tables: { ${table}: { columns: [...] } }.`,
    )
  }
  return [tableOf(cells, firstLine.end)]
}

async function headOf(content: FileContent, bytes: number): Promise<[Beginning, number]> {
  return [await beginningOf(content, bytes), bytes]
}

interface Header {
  delimiter: string
  quote: CsvDialect['quote']
  /** Null where the quotes do not pair up. */
  cells: (string | null)[] | null
}

/** All names stand in single quotes only where these quote. */
function headerOf(line: string, said: CsvMapping, cellCount: number | undefined): Header {
  const by = (quote: CsvDialect['quote']): Header => {
    const delimiter = said.delimiter ?? guessDelimiter(line, quote, cellCount)
    return { delimiter, quote, cells: parseLine(line, { delimiter, quote }) }
  }
  const header = by(said.quote ?? '"')
  const isInSingle = header.cells?.every((cell) => /^'.+'$/.test(cell?.trim() ?? ''))
  return said.quote === undefined && isInSingle === true ? by("'") : header
}

function assertText(head: Buffer, path: string): void {
  const other = otherFormats.find(({ magic }) => head.subarray(0, magic.length).equals(magic))
  if (other) {
    throw new OperatorError(
      `${path} is not a CSV file: it begins like ${other.name}`,
      'Unload the table as CSV in UTF-8 or UTF-16, or leave the file out by giving a glob of those to migrate.',
    )
  }
  const line = head.subarray(0, endOfLine(head))
  if (line.includes(0) || !isUtf8(line)) {
    throw new OperatorError(
      `${path} is not a CSV file: its first line is not text in UTF-8`,
      'Leave the file out by giving a glob of those to migrate, or write it again as CSV in UTF-8.',
    )
  }
}

function endOfLine(bytes: Buffer): number {
  const end = bytes.findIndex((byte) => byte === 0x0a || byte === 0x0d)
  // Cut at the end of the buffer, a character of several bytes would look broken: look at a little less.
  return end === -1 ? Math.max(0, bytes.length - 4) : end
}

/** The delimiter that gives the expected number of cells, else the one that gives most. */
function guessDelimiter(line: string, quote: CsvDialect['quote'], cellCount: number | undefined): string {
  const candidates = delimiters.map((delimiter) => ({
    delimiter,
    cells: parseLine(line, { delimiter, quote })?.length ?? 0,
    parts: line.split(delimiter).length,
  }))
  const exact = candidates.find(({ cells }) => cells === cellCount)
  if (exact) return exact.delimiter
  const best = candidates.reduce((most, next) => (next.cells > most.cells ? next : most))
  if (best.cells > 1) return best.delimiter
  // With a quote that is never closed it is the wrong delimiters that give a cell, and the line would pass for one column.
  return candidates.reduce((most, next) => (next.parts > most.parts ? next : most)).delimiter
}

function unique(columns: readonly string[], path: string): readonly string[] {
  const twice = columns.find((column, index) => columns.indexOf(column) !== index)
  if (twice === undefined) return columns
  throw new OperatorError(
    twice === ''
      ? `${path}: two columns of its header have no name`
      : `${path}: its header names the column "${twice}" twice`,
    'Rename one of them in the file, or give the columns in the mapping file under tables: columns:.',
  )
}
