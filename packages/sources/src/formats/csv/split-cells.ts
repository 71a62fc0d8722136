import type { CsvDialect } from '@heapferry/domain'

// Of MySQL, PostgreSQL and Hive where nothing is quoted; Redshift and Snowflake never write a letter behind a backslash.
const letters: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['b', '\b'],
  ['0', '\0'],
  ['Z', '\x1a'],
])

/**
 * The cells of a row that `DialectScanner` has found, without its line end; null where a cell is `\N`, which no escaped
 * text is. A backslash that escapes nothing stays.
 */
export function splitCells(text: string, dialect: CsvDialect): (string | null)[] {
  const { delimiter, quote, escape } = dialect
  const isPlain = (escape === undefined || !text.includes(escape)) && (quote === '' || !text.includes(quote))
  if (isPlain) return text.split(delimiter)
  const cells: (string | null)[] = []
  let at = 0
  for (;;) {
    const isQuoted = quote !== '' && text.startsWith(quote, at)
    const cell = isQuoted ? quotedCell(text, at + 1, dialect) : unquotedCell(text, at, dialect)
    cells.push(cell.text)
    if (cell.end >= text.length) return cells
    at = cell.end + delimiter.length
  }
}

interface Cell {
  text: string | null
  /** Where the delimiter stands, or the row ends. */
  end: number
}

function quotedCell(text: string, start: number, { delimiter, quote, escape }: CsvDialect): Cell {
  let cell = ''
  let from = start
  for (let at = start; at < text.length; at++) {
    const sign = text[at]
    const next = text[at + 1]
    if (sign === escape && next !== undefined && (next === delimiter || '"\'\\\r\n'.includes(next))) {
      cell += text.slice(from, at)
      from = at + 1
      at++
    } else if (sign === quote && next === quote) {
      cell += text.slice(from, at)
      from = at + 1
      at++
    } else if (sign === quote) {
      return { text: cell + text.slice(from, at), end: at + 1 }
    }
  }
  return { text: cell + text.slice(from), end: text.length }
}

function unquotedCell(text: string, start: number, { delimiter, quote, escape }: CsvDialect): Cell {
  const isEscaping = escape !== undefined && quote === ''
  if (!isEscaping) {
    const found = text.indexOf(delimiter, start)
    const end = found === -1 ? text.length : found
    return { text: nullable(text.slice(start, end)), end }
  }
  let cell = ''
  let from = start
  let at = start
  for (; at < text.length && text[at] !== delimiter; at++) {
    const next = text[at + 1]
    if (text[at] !== escape || next === undefined) continue
    const letter = letters.get(next)
    const meant = letter ?? (next === delimiter || '"\'\\\r\n'.includes(next) ? next : escape + next)
    cell += text.slice(from, at) + meant
    at++
    from = at + 1
  }
  return { text: text.slice(start, at) === '\\N' ? null : cell + text.slice(from, at), end: at }
}

function nullable(text: string): string | null {
  return text === '\\N' ? null : text
}
