import path from 'node:path'
import { type CsvDialect, OperatorError, type ReadRow } from '@heapferry/domain'
import { openFolder } from '../../places/open-folder.ts'
import { beginningOf, contentOf } from '../../unpacking/content.ts'
import { scanRows } from '../text/scan-rows.ts'
import { parseLine, parseRows } from './parse-rows.ts'
import { RowScanner } from './row-scanner.ts'

/** A CSV file that a person has edited. */
export interface RowsFile {
  path: string
  /** Behind the leading ones. */
  columns: readonly string[]
  /** All rows, in order. @throws SourceChanged when the file is not the one that was opened */
  rows(): AsyncIterable<{ line: number; row: ReadRow }>
}

const delimiters = [',', ';', '\t', '|'] as const
const headBytes = 256 * 1024
const group = { rows: 1000, bytes: 1_500_000 }
const newline = 0x0a

/**
 * Opens a CSV file whose header begins with the leading columns; spreadsheets may have saved it with another delimiter.
 * @throws OperatorError when it is not such a file
 */
export async function openRowsFile(given: string, leading: readonly string[]): Promise<RowsFile> {
  const file = path.resolve(given)
  const place = openFolder(path.dirname(file))
  const name = path.basename(file)
  const blob = await place.open(name)
  try {
    const { bytes: head } = await beginningOf(contentOf(blob, 'none'), headBytes)
    const start = head.subarray(0, 3).equals(byteOrderMark) ? byteOrderMark.length : 0
    const header = headerOf(head, start, leading)
    if (!header) {
      throw new OperatorError(
        `${given} does not begin with the columns ${leading.join(', ')}`,
        'Give a file that `heapferry rejected RUN --out rows.csv` wrote, with its columns in their order, as CSV in UTF-8.',
      )
    }
    const { version } = blob
    const { dialect, columns, end } = header
    return {
      path: given,
      columns: columns.slice(leading.length),
      async *rows() {
        const opened = await place.open(name, version)
        try {
          const blocks = contentOf(opened, 'none').blocks(end)
          const scanned = scanRows(blocks, { start: end, finder: new RowScanner(dialect), group })
          const firstLine = 1 + newlinesIn(head.subarray(0, end))
          yield* numbered(scanned, firstLine, end, dialect, columns)
        } finally {
          await opened.close()
        }
      },
    }
  } finally {
    await blob.close()
  }
}

const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

function headerOf(head: Buffer, start: number, leading: readonly string[]) {
  for (const delimiter of delimiters) {
    const dialect: CsvDialect = { delimiter, quote: '"' }
    const scanner = new RowScanner(dialect)
    scanner.scan(head)
    const row = start < head.length ? scanner.next(start, head.length < headBytes) : null
    if (row === null || typeof row === 'string') return null
    const text = head.toString('utf8', start, row.end).replace(/\r?\n$/, '')
    const columns = parseLine(text, dialect)?.map((cell) => cell.trim().toLowerCase()) ?? []
    if (leading.every((name, index) => columns[index] === name)) return { dialect, columns, end: row.end }
  }
  return null
}

/** Rows with the numbers of the lines that they begin on. */
async function* numbered(
  groups: ReturnType<typeof scanRows>,
  firstLine: number,
  start: number,
  dialect: CsvDialect,
  columns: readonly string[],
): AsyncGenerator<{ line: number; row: ReadRow }> {
  let line = firstLine
  let countedTo = start
  let number = 1
  for await (const rows of groups) {
    const { bytes, bytesAt, spans, next } = rows
    let nth = 0
    const lineAt = (at: number): number => {
      line += newlinesIn(bytes.subarray(Math.max(0, countedTo - bytesAt), Math.max(0, at - bytesAt)))
      countedTo = at
      return line
    }
    for (const row of parseRows(rows, number, dialect, columns)) {
      yield { line: lineAt(spans[nth]?.start ?? next), row }
      nth++
    }
    number += spans.length
    lineAt(next)
  }
}

function newlinesIn(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) count++
  return count
}
