import { open } from 'node:fs/promises'
import type { Random } from './random.ts'
import { type Row, type Trap, trapOf, trapRow, trapTime } from './traps.ts'

/** How a warehouse writes the same table. */
export interface Dialect {
  delimiter: string
  lineEnd: '\n' | '\r\n'
  byteOrderMark: boolean
  /** Snowflake writes its column names so. */
  upperCaseHeader: boolean
  nullText: '' | '\\N'
  /** After every time; Heap's times are UTC, said or not. */
  timeSuffix: '' | ' UTC' | '+00:00'
}

export const plainDialect: Dialect = {
  delimiter: ',',
  lineEnd: '\n',
  byteOrderMark: false,
  upperCaseHeader: false,
  nullText: '',
  timeSuffix: '',
}

/** What became of a row: `row` and `atMs` are what it says, whatever damage its line has taken. */
interface Written {
  row: Row
  atMs: number
  trap: Trap | undefined
}

export interface CsvFile {
  readonly rows: number
  readonly bytes: number
  readonly traps: Partial<Record<Trap, number>>
  /** Takes one row. Where the file's next row is to repeat the one before, that is written instead, and returned. */
  write(row: Row, atMs: number): Written
  /** Waits for the disk when much is waiting to be written: to be called now and then. */
  drain(): Promise<void>
  close(): Promise<void>
}

const bufferBytes = 1 << 18

/** Starts a file with its header. `time` is written into the column of this name from each row's `atMs`. */
export async function createCsvFile(
  path: string,
  options: {
    columns: readonly string[]
    dialect: Dialect
    traps: readonly Trap[]
    textColumn: string
    nowMs: number | undefined
    random: Random
  },
): Promise<CsvFile> {
  const { columns, dialect, textColumn } = options
  const file = await open(path, 'w')
  const counts: Partial<Record<Trap, number>> = {}
  let pending: (string | Buffer)[] = []
  let pendingBytes = 0
  let bytes = 0
  let rows = 0
  let last: { line: string | Buffer; written: Written } | undefined

  function put(line: string | Buffer): void {
    pending.push(line)
    pendingBytes += line.length
  }

  async function flush(): Promise<void> {
    const chunk = Buffer.concat(pending.map((line) => (typeof line === 'string' ? Buffer.from(line) : line)))
    pending = []
    pendingBytes = 0
    bytes += chunk.length
    await file.writeFile(chunk)
  }

  const header = columns.map((column) => (dialect.upperCaseHeader ? column.toUpperCase() : column))
  put((dialect.byteOrderMark ? '\uFEFF' : '') + header.join(dialect.delimiter) + dialect.lineEnd)

  return {
    get rows() {
      return rows
    },
    get bytes() {
      return bytes
    },
    traps: counts,
    write(row, atMs) {
      const trap = trapOf(options.traps, rows)
      rows++
      if (trap) counts[trap] = (counts[trap] ?? 0) + 1
      if (trap === 'exact_duplicate' && last) {
        put(last.line)
        return { ...last.written, trap }
      }
      const claimedMs = trapTime(trap, atMs, options.nowMs ?? atMs)
      const trapped = trap ? trapRow(trap, row, { textColumn, sessionId: options.random.id() }) : row
      const time = timeText(claimedMs, trap === 'whole_second') + dialect.timeSuffix
      const cells = columns.map((column) => cellText(column === 'time' ? time : (trapped[column] ?? null), dialect))
      if (trap === 'surplus_column') cells.push('surplus')
      if (trap === 'missing_column') cells.pop()
      const text = cells.join(dialect.delimiter) + dialect.lineEnd
      const line = trap === 'bad_utf8' ? Buffer.from(text, 'latin1') : text
      put(line)
      last = { line, written: { row: trap === 'server_event' ? trapped : row, atMs: claimedMs, trap } }
      return last.written
    },
    async drain() {
      if (pendingBytes > bufferBytes) await flush()
    },
    async close() {
      await flush()
      await file.close()
    },
  }
}

/** `YYYY-MM-DD HH:MM:SS.sss`; BigQuery and Redshift leave out a fraction that is zero. */
export function timeText(atMs: number, isWithoutFraction = false): string {
  const iso = new Date(atMs).toISOString()
  return `${iso.slice(0, 10)} ${iso.slice(11, isWithoutFraction ? 19 : 23)}`
}

function cellText(value: string | null, dialect: Dialect): string {
  if (value === null) return dialect.nullText
  const mustQuote = value.includes(dialect.delimiter) || /["\r\n]/.test(value)
  return mustQuote ? `"${value.replaceAll('"', '""')}"` : value
}
