import path from 'node:path'
import { type CsvDialect, OperatorError, type ReadRow } from '@heapferry/domain'
import { beginningBytes } from '../../places/blob.ts'
import { openFolder } from '../../places/open-folder.ts'
import { beginningOf, contentOf } from '../../unpacking/content.ts'
import { encodingOf } from '../../unpacking/transcoded.ts'
import { scanRows } from '../text/scan-rows.ts'
import { finderOf } from './finder-of.ts'
import { firstLineIn, lineEndOf, separatorLine, startOf } from './first-line.ts'
import { parseLine, parseRows } from './parse-rows.ts'

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
    const encoding = encodingOf((await beginningOf(contentOf(blob, 'none'), beginningBytes)).bytes)
    const { bytes: head } = await beginningOf(contentOf(blob, 'none', encoding), headBytes)
    const header = headerOf(head, leading)
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
          const blocks = contentOf(opened, 'none', encoding).blocks(end)
          const scanned = scanRows(blocks, { start: end, finder: finderOf(dialect), group })
          const firstLine = 1 + lineEndsIn(head.subarray(0, end), dialect)
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

function headerOf(head: Buffer, leading: readonly string[]) {
  const begin = startOf(head)
  const lineEnd = lineEndOf(head)
  const separator = separatorLine(head, begin)
  for (const delimiter of separator.delimiter === undefined ? delimiters : [separator.delimiter]) {
    const dialect: CsvDialect = { delimiter, quote: '"', ...lineEnd }
    const line = firstLineIn(head, headBytes, dialect, begin + separator.bytes)
    if (line === null) return null
    const columns = parseLine(line.text, dialect)?.map((cell) => (cell ?? '').trim().toLowerCase()) ?? []
    if (leading.every((name, index) => columns[index] === name)) return { dialect, columns, end: line.end }
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
      line += lineEndsIn(bytes.subarray(Math.max(0, countedTo - bytesAt), Math.max(0, at - bytesAt)), dialect)
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

function lineEndsIn(bytes: Buffer, dialect: CsvDialect): number {
  const lineEnd = dialect.lineEnd ?? '\n'
  let count = 0
  for (let at = bytes.indexOf(lineEnd); at !== -1; at = bytes.indexOf(lineEnd, at + 1)) count++
  return count
}
