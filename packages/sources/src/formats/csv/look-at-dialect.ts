import type { CsvDialect, CsvMapping } from '@heapferry/domain'
import { problemOf } from '../text/problem-of.ts'
import { moreBytesNeeded } from '../text/row-finder.ts'
import { finderOf } from './finder-of.ts'
import { lineText } from './parse-rows.ts'

/** The beginning of a file's rows. */
export interface LookedAt {
  bytes: Buffer
  /** No bytes follow. */
  isWhole: boolean
  columnCount: number
}

/**
 * How a file quotes and escapes: as the mapping says, else by its first rows. Another dialect than the usual one (double
 * quotes that are doubled in text) is taken only where they show it beyond doubt:
 *
 * - **Backslashes**: the dialect reads every row that the usual one reads, and rows with backslashes before a quote,
 *   delimiter or line end that the usual one cannot read; and no quote is doubled.
 * - **Single quotes**: the dialect reads every row that the usual one reads; nothing stands in double quotes; a column has
 *   all its cells in single ones; and these hold times or numbers, or other rows cannot be read without them, or there are
 *   several such columns in several rows.
 *
 * @param shown dialects that other files of the export show, which one unload has written like this one: taken where they
 *   read all that the usual one reads and nothing speaks against them
 */
export function lookAtDialect(
  looked: LookedAt,
  base: Omit<CsvDialect, 'quote' | 'escape'>,
  said: CsvMapping,
  shown: readonly CsvDialect[],
): CsvDialect {
  const ofSaid = (quote: CsvDialect['quote'], escape: CsvDialect['escape']): CsvDialect => ({
    ...base,
    quote: said.quote ?? quote,
    ...((said.escape ?? escape) === '\\' && { escape: '\\' }),
  })
  const usual = ofSaid('"', undefined)
  const isSaid = said.quote !== undefined && said.escape !== undefined
  if (isSaid || (shown.length === 0 && !mayBeAnother(looked.bytes))) return usual
  const read = readBy(usual, looked)
  if (said.escape === '\\') return withSaidEscape(read, looked, ofSaid)

  const others = [ofSaid("'", undefined), ofSaid('"', '\\'), ofSaid("'", '\\'), ofSaid('', '\\')]
  const evident = others.filter((dialect) => !isSame(dialect, usual)).find((dialect) => isShown(dialect, read, looked))
  if (evident) return evident
  return shown.map(({ quote, escape }) => ofSaid(quote, escape)).find((one) => isLikely(one, read, looked)) ?? usual
}

export function isSame(a: CsvDialect, b: CsvDialect): boolean {
  return a.quote === b.quote && a.escape === b.escape
}

/** Only that there are backslashes is known: whether cells are quoted the rows tell. */
function withSaidEscape(
  read: Reading,
  looked: LookedAt,
  ofSaid: (quote: CsvDialect['quote'], escape: CsvDialect['escape']) => CsvDialect,
): CsvDialect {
  const [single, none] = [readBy(ofSaid("'", '\\'), looked), readBy(ofSaid('', '\\'), looked)]
  const quotes = (one: Reading): boolean => one.cells.some(({ isQuoted }) => isQuoted)
  if (!covers(read, single) && quotes(single) && !quotes(read)) return single.dialect
  const escapesBare = none.rows.some(({ text }) => /\\[^N]/.test(text))
  const isBetter = covers(none, read) && (fixed(none, read).length > 0 || (!quotes(read) && escapesBare))
  return isBetter
    ? none.dialect
    : covers(single, read) && quotes(single) && !quotes(read)
      ? single.dialect
      : read.dialect
}

/** Backslashes, or cells that begin with a single quote. */
function mayBeAnother(bytes: Buffer): boolean {
  return bytes.includes(0x5c) || bytes.includes(0x27)
}

function isShown(dialect: CsvDialect, usual: Reading, looked: LookedAt): boolean {
  const read = readBy(dialect, looked)
  if (!covers(read, usual)) return false
  const mended = fixed(read, usual)
  const { delimiter, quote, escape } = dialect
  if (escape !== undefined && read.cells.some(({ isDoubled }) => isDoubled)) return false
  if (quote === "'" && usual.dialect.quote !== quote) {
    const isEscaped = escape === undefined || read.rows.some(({ text }) => text.includes(escape + quote))
    return isEscaped && isInSingleQuotes(read, usual, mended.length > 0)
  }
  if (escape === undefined) return false
  const meaning = quote === '' ? [delimiter, '\n', '\r'] : [quote, delimiter, '\n', '\r']
  return mended.some(({ text }) => meaning.some((sign) => text.includes(escape + sign)))
}

/** Another file shows the dialect; this one must not speak against it. */
function isLikely(dialect: CsvDialect, usual: Reading, looked: LookedAt): boolean {
  const read = readBy(dialect, looked)
  if (!covers(read, usual)) return false
  return dialect.quote === usual.dialect.quote
    ? !read.cells.some(({ isDoubled }) => isDoubled)
    : !usual.cells.some(({ isQuoted }) => isQuoted)
}

const severalColumns = 2
const severalRows = 3

function isInSingleQuotes(read: Reading, usual: Reading, mends: boolean): boolean {
  if (usual.cells.some(({ isQuoted }) => isQuoted)) return false
  const columns = new Map<number, Cell[]>()
  for (const cell of read.cells) {
    if (cell.text === '' && !cell.isQuoted) continue
    const cells = columns.get(cell.column) ?? []
    if (cells.length === 0) columns.set(cell.column, cells)
    cells.push(cell)
  }
  const wholly = [...columns.values()].filter((cells) => cells.every(({ isQuoted }) => isQuoted))
  if (wholly.length === 0) return false
  const holdsData = wholly.some((cells) => cells.every(({ text }) => /^-?\d[\d.,:TZ /+-]*$/.test(text)))
  return mends || holdsData || (wholly.length >= severalColumns && read.rows.length >= severalRows)
}

interface Reading {
  dialect: CsvDialect
  /** Those with as many cells as there are columns. */
  rows: Row[]
  /** Where the others lie. */
  broken: { start: number; end: number }[]
  /** Of the rows. */
  cells: Cell[]
}

interface Row {
  start: number
  text: string
}

interface Cell {
  column: number
  isQuoted: boolean
  /** A quote in it is doubled. */
  isDoubled: boolean
  /** What stands in the quotes. */
  text: string
}

function readBy(dialect: CsvDialect, { bytes, isWhole, columnCount }: LookedAt): Reading {
  const reading: Reading = { dialect, rows: [], broken: [], cells: [] }
  const finder = finderOf(dialect)
  finder.scan(bytes)
  let start = 0
  while (start < bytes.length) {
    const span = finder.next(start, isWhole)
    if (span === moreBytesNeeded) break
    const { end } = span
    const text = lineText(bytes.toString('utf8', start, end), dialect)
    const cells = problemOf(span) ? [] : cellsIn(text, dialect)
    if (cells.length === columnCount) {
      reading.rows.push({ start, text })
      reading.cells.push(...cells)
    } else if (text !== '') {
      reading.broken.push({ start, end })
    }
    start = end
  }
  return reading
}

function cellsIn(text: string, { delimiter, quote, escape }: CsvDialect): Cell[] {
  const cells: Cell[] = []
  for (let at = 0; ; ) {
    const isQuoted = quote !== '' && text.startsWith(quote, at)
    let end = isQuoted ? at + 1 : at
    let isDoubled = false
    for (; end < text.length; end++) {
      const sign = text[end]
      if (sign === escape && (isQuoted || quote === '')) end++
      else if (isQuoted && sign === quote) {
        if (text[end + 1] !== quote) break
        isDoubled = true
        end++
      } else if (!isQuoted && sign === delimiter) break
    }
    cells.push({ column: cells.length, isQuoted, isDoubled, text: text.slice(isQuoted ? at + 1 : at, end) })
    at = isQuoted ? end + 1 : end
    if (at >= text.length) return cells
    at++
  }
}

/** Whether no row of the other lies where nothing can be read. */
function covers({ broken }: Reading, other: Reading): boolean {
  return !broken.some(({ start, end }) => other.rows.some((row) => row.start >= start && row.start < end))
}

/** The rows that cannot be read in the other way. */
function fixed({ rows }: Reading, other: Reading): Row[] {
  const starts = new Set(other.broken.map(({ start }) => start))
  return rows.filter(({ start }) => starts.has(start))
}
