import { isUtf8 } from 'node:buffer'
import { type CsvDialect, OperatorError } from '@heapferry/domain'
import { beginningBytes } from '../../places/blob.ts'
import { beginningOf } from '../../unpacking/content.ts'
import { damagedBeforeRows } from '../../unpacking/damaged-content.ts'
import type { TableInFile, UnknownFile } from '../file-format.ts'
import { parseLine } from './parse-rows.ts'
import { RowScanner } from './row-scanner.ts'

// A header of 450 columns (the widest known users table) takes 10 kB.
const headBytes = 256 * 1024
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

/** A number or a date: a warehouse column is never named so. */
const looksLikeData = /^-?\d[\d.,:e+ -]*$/

/** An id or a day: every row of a table has one, whatever its quotes are, and no header. */
const holdsData = /\d{6}|\d{4}-\d\d-\d\d/

const delimiters = [',', '|', '\t', ';'] as const

/** Files that are often renamed to .csv, or exported by mistake, by their first bytes. */
const otherFormats: { magic: Buffer; name: string }[] = [
  { magic: Buffer.from('PK\x03\x04', 'latin1'), name: 'ZIP or a spreadsheet' },
  { magic: Buffer.from([0xff, 0xfe]), name: 'UTF-16 text' },
  { magic: Buffer.from([0xfe, 0xff]), name: 'UTF-16 text' },
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
}: Pick<UnknownFile, 'content' | 'path' | 'table' | 'mapping' | 'beginning'>): Promise<TableInFile[]> {
  const quote = mapping.csv.quote ?? '"'
  // The header's own delimiter is not known yet; where its line ends does not depend on it unless a name holds a line end.
  const assumed: CsvDialect = { delimiter: mapping.csv.delimiter ?? ',', quote }
  const near = firstLineIn(beginning.bytes, beginningBytes, assumed)
  const { bytes: head, damage } = near === null ? await beginningOf(content, headBytes) : beginning
  // A header that is cut off would give the columns of another table.
  if (damage !== null && !head.includes(0x0a)) throw damagedBeforeRows(damage)
  const start = startOf(head)
  if (head.length === start) return []

  assertText(head, path)
  const said = mapping.tables[table]?.columns
  const given = Array.isArray(said) ? said : undefined
  const firstLine = near ?? firstLineIn(head, headBytes, assumed)
  if (firstLine === null) {
    throw new OperatorError(
      `${path}: its first line does not end within ${headBytes} bytes`,
      'Check that this is a CSV file; other formats cannot be read under this name.',
    )
  }
  const delimiter = mapping.csv.delimiter ?? guessDelimiter(firstLine.text, quote, given?.length)
  const dialect: CsvDialect = { delimiter, quote }
  const format = { kind: 'csv', ...dialect } as const
  const cells = parseLine(firstLine.text, dialect)?.map((cell) => cell.trim().toLowerCase())
  if (!cells) {
    throw new OperatorError(
      `${path}: the quotes of its first line do not pair up`,
      'Write the file again with quoting on.',
    )
  }
  if (given) {
    const columns = given.map((column) => column.toLowerCase())
    const repeatsThem = cells.length === columns.length && cells.every((cell, index) => cell === columns[index])
    if (!repeatsThem && columns.every((column) => cells.includes(column))) {
      throw new OperatorError(
        `${path}: its header names the columns of the mapping in another order`,
        `Take tables: { ${table}: { columns } } out of the mapping: the file's own header is enough.`,
      )
    }
    const isHeader = repeatsThem || !cells.some((cell) => looksLikeData.test(cell) || holdsData.test(cell))
    const notices =
      isHeader && !repeatsThem
        ? [
            `${path}: the columns of the mapping take the place of its header (${cells.slice(0, 4).join(', ')}${cells.length > 4 ? ', …' : ''})`,
          ]
        : []
    return [{ format, columns: unique(columns, path), firstRowByte: isHeader ? firstLine.end : start, notices }]
  }
  const datum = cells.find((cell) => looksLikeData.test(cell))
  if (datum !== undefined) {
    throw new OperatorError(
      `${path}: its first line is a row and not a header: one of its cells is "${datum.slice(0, 40)}"`,
      `Give the columns in the mapping file: tables: { ${table}: { columns: [...] } }.`,
    )
  }
  return [{ format, columns: unique(cells, path), firstRowByte: firstLine.end }]
}

/** Behind what some writers put before everything else. */
function startOf(head: Buffer): number {
  return head.subarray(0, 3).equals(byteOrderMark) ? byteOrderMark.length : 0
}

function assertText(head: Buffer, path: string): void {
  const other = otherFormats.find(({ magic }) => head.subarray(0, magic.length).equals(magic))
  if (other) {
    throw new OperatorError(
      `${path} is not a CSV file: it begins like ${other.name}`,
      'Unload the table as CSV in UTF-8, or leave the file out by giving a glob of those to migrate.',
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
  const end = bytes.indexOf(0x0a)
  // Cut at the end of the buffer, a character of several bytes would look broken: look at a little less.
  return end === -1 ? Math.max(0, bytes.length - 4) : end
}

/** Null where it does not end within so many bytes, or is none. */
function firstLineIn(head: Buffer, askedBytes: number, dialect: CsvDialect): { text: string; end: number } | null {
  const start = startOf(head)
  if (start === head.length) return null
  const scanner = new RowScanner(dialect)
  scanner.scan(head)
  const row = scanner.next(start, head.length < askedBytes)
  if (typeof row === 'string') return null
  return { text: head.toString('utf8', start, row.end).replace(/\r?\n$/, ''), end: row.end }
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

function unique(columns: string[], path: string): string[] {
  const twice = columns.find((column, index) => columns.indexOf(column) !== index)
  if (twice === undefined) return columns
  throw new OperatorError(
    twice === ''
      ? `${path}: two columns of its header have no name`
      : `${path}: its header names the column "${twice}" twice`,
    'Rename one of them in the file, or give the columns in the mapping file under tables: columns:.',
  )
}
