import { createWriteStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import avro from 'avsc'
import { parquetWriteBuffer } from 'hyparquet-writer'

/** A table as text, the way CSV has it: times as `YYYY-MM-DD HH:MM:SS.fff`, null where a cell holds nothing. */
export interface TextTable {
  columns: readonly string[]
  rows: readonly (readonly (string | null)[])[]
}

const idColumns = new Set(['user_id', 'event_id', 'session_id', 'from_user_id', 'to_user_id'])
const personTimeColumns = new Set(['joindate', 'last_modified'])
const timeColumns = new Set(['time', ...personTimeColumns])

type TextRow = TextTable['rows'][number]

/** The same rows as each kind of export writes them: with its own types, its own names and its own forms of time. */
export const tableWriters = {
  /** Quoted where needed. */
  async csv(file: string, { columns, rows }: TextTable): Promise<void> {
    await writeFile(file, csvText(columns, rows))
  },

  async csvGzip(file: string, { columns, rows }: TextTable): Promise<void> {
    await writeFile(`${file}.gz`, await promisify(gzip)(csvText(columns, rows)))
  },

  async jsonLines(file: string, { columns, rows }: TextTable): Promise<void> {
    await writeFile(file, rows.map((row) => `${jsonLineOf(columns, row)}\n`).join(''))
  },

  async jsonArray(file: string, { columns, rows }: TextTable): Promise<void> {
    await writeFile(file, `[\n${rows.map((row) => jsonElementOf(columns, row)).join(',\n')}\n]\n`)
  },

  async avro(file: string, { columns, rows }: TextTable): Promise<void> {
    const encoder = new avro.streams.BlockEncoder(avroTypeOf(columns), { codec: 'deflate', blockSize: 4096 })
    const records = rows.map((row) => avroRecordOf(columns, row))
    await pipeline(Readable.from(records), encoder, createWriteStream(file))
  },

  async parquet(file: string, { columns, rows }: TextTable): Promise<void> {
    const columnData = parquetColumnsOf(columns, rows)
    await writeFile(file, Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 100 })))
  },
}

/** BigQuery's way: 64-bit integers as strings, times with a zone, nothing for null. */
export function jsonLineOf(columns: readonly string[], row: TextRow): string {
  const cells = columns.flatMap((column, index) => {
    const value = row[index] ?? null
    return value === null ? [] : [[column, timeColumns.has(column) ? `${value} UTC` : value]]
  })
  return JSON.stringify(Object.fromEntries(cells))
}

/** With numbers as they are: beyond what a double holds. */
export function jsonElementOf(columns: readonly string[], row: TextRow): string {
  const cells = columns.map((column, index) => {
    const value = row[index] ?? null
    const text = value !== null && idColumns.has(column) ? value : JSON.stringify(value)
    return `${JSON.stringify(column)}: ${text}`
  })
  return `  { ${cells.join(', ')} }`
}

/** Heap Connect's way: ids as longs, times of events as text, times of people in microseconds. */
export function avroTypeOf(columns: readonly string[]): avro.Type {
  const fields = columns.map((name) => ({ name, type: ['null', isLong(name) ? 'long' : 'string'] }))
  // oxlint-disable-next-line no-underscore-dangle -- the library's own name
  const long = avro.types.LongType.__with({
    fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
    toBuffer: (value: bigint) => {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64LE(value)
      return bytes
    },
    fromJSON: BigInt,
    toJSON: String,
    isValid: (value: unknown) => typeof value === 'bigint',
    compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
  })
  return avro.Type.forSchema({ type: 'record', name: 'row', fields }, { registry: { long }, wrapUnions: true })
}

/** Of `avroTypeOf` the same columns. */
export function avroRecordOf(columns: readonly string[], row: TextRow): object {
  const cells = columns.map((column, index) => {
    const value = row[index] ?? null
    if (value === null) return [column, null]
    if (idColumns.has(column)) return [column, { long: BigInt(value) }]
    if (personTimeColumns.has(column)) return [column, { long: BigInt(msOf(value)) * 1000n }]
    return [column, { string: value }]
  })
  return Object.fromEntries(cells)
}

/** Redshift's way: ids as INT64, times as timestamps. */
export function parquetColumnsOf(columns: readonly string[], rows: TextTable['rows']) {
  return columns.map((name, index) => {
    const values = rows.map((row) => row[index] ?? null)
    if (idColumns.has(name)) {
      return { name, type: 'INT64' as const, data: values.map((value) => value && BigInt(value)) }
    }
    if (timeColumns.has(name)) {
      const data = values.map((value) => value && new Date(msOf(value)))
      return { name, type: 'TIMESTAMP' as const, data }
    }
    return { name, type: 'STRING' as const, data: values }
  })
}

function isLong(column: string): boolean {
  return idColumns.has(column) || personTimeColumns.has(column)
}

function csvText(columns: readonly string[], rows: TextTable['rows']): string {
  return [columns, ...rows].map((row) => `${row.map(csvCell).join(',')}\n`).join('')
}

function csvCell(value: string | null): string {
  if (value === null) return ''
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}

function msOf(text: string): number {
  return Date.parse(`${text.replace(' ', 'T')}Z`)
}
