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

/** The same rows as each kind of export writes them: with its own types, its own names and its own forms of time. */
export const tableWriters = {
  /** Quoted where needed. */
  async csv(file: string, { columns, rows }: TextTable): Promise<void> {
    await writeFile(file, csvText(columns, rows))
  },

  async csvGzip(file: string, { columns, rows }: TextTable): Promise<void> {
    await writeFile(`${file}.gz`, await promisify(gzip)(csvText(columns, rows)))
  },

  /** BigQuery's way: 64-bit integers as strings, times with a zone, nothing for null. */
  async jsonLines(file: string, { columns, rows }: TextTable): Promise<void> {
    const lines = rows.map((row) => {
      const cells = columns.flatMap((column, index) => {
        const value = row[index] ?? null
        return value === null ? [] : [[column, timeColumns.has(column) ? `${value} UTC` : value]]
      })
      return JSON.stringify(Object.fromEntries(cells))
    })
    await writeFile(file, lines.map((line) => `${line}\n`).join(''))
  },

  /** With numbers as they are: beyond what a double holds. */
  async jsonArray(file: string, { columns, rows }: TextTable): Promise<void> {
    const objects = rows.map((row) => {
      const cells = columns.map((column, index) => {
        const value = row[index] ?? null
        const text = value !== null && idColumns.has(column) ? value : JSON.stringify(value)
        return `${JSON.stringify(column)}: ${text}`
      })
      return `  { ${cells.join(', ')} }`
    })
    await writeFile(file, `[\n${objects.join(',\n')}\n]\n`)
  },

  /** Heap Connect's way: ids as longs, times of events as text, times of people in microseconds. */
  async avro(file: string, { columns, rows }: TextTable): Promise<void> {
    const fields = columns.map((column) => ({ name: column, type: ['null', avroTypeOf(column)] }))
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
    const type = avro.Type.forSchema({ type: 'record', name: 'row', fields }, { registry: { long }, wrapUnions: true })
    const records = rows.map((row) =>
      Object.fromEntries(
        columns.map((column, index) => {
          const value = row[index] ?? null
          if (value === null) return [column, null]
          if (idColumns.has(column)) return [column, { long: BigInt(value) }]
          if (personTimeColumns.has(column)) return [column, { long: BigInt(msOf(value)) * 1000n }]
          return [column, { string: value }]
        }),
      ),
    )
    const encoder = new avro.streams.BlockEncoder(type, { codec: 'deflate', blockSize: 4096 })
    await pipeline(Readable.from(records), encoder, createWriteStream(file))
  },

  /** Redshift's way: ids as INT64, times as timestamps. */
  async parquet(file: string, { columns, rows }: TextTable): Promise<void> {
    const columnData = columns.map((column, index) => {
      const values = rows.map((row) => row[index] ?? null)
      if (idColumns.has(column)) {
        return { name: column, type: 'INT64' as const, data: values.map((value) => value && BigInt(value)) }
      }
      if (timeColumns.has(column)) {
        const data = values.map((value) => value && new Date(msOf(value)))
        return { name: column, type: 'TIMESTAMP' as const, data }
      }
      return { name: column, type: 'STRING' as const, data: values }
    })
    await writeFile(file, Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 100 })))
  },
}

function avroTypeOf(column: string): 'long' | 'string' {
  return idColumns.has(column) || personTimeColumns.has(column) ? 'long' : 'string'
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
