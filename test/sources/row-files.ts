import { writeFile } from 'node:fs/promises'
import avro from 'avsc'
import { avroFile, recordOf } from './avro-file.ts'
import type { Rows, SourceUnderTest } from './source-contract.ts'

/** Makes a file's content of rows. */
export type RowsTo = (rows: Rows) => Buffer

export function writerOf(
  make: RowsTo,
  pack: (content: Buffer) => Buffer = (content) => content,
): SourceUnderTest['write'] {
  return (file, rows) => writeFile(file, pack(make(rows)))
}

export interface CsvStyle {
  delimiter?: string
  lineEnd?: string
  prefix?: string
  quoteAll?: boolean
  unquoted?: boolean
  nullText?: string
  header?: boolean
}

export function csv(style: CsvStyle = {}): RowsTo {
  const { delimiter = ',', lineEnd = '\n', prefix = '', quoteAll, unquoted, nullText = '', header = true } = style
  const cellText = (cell: string | null): string => {
    if (cell === null) return nullText
    const needsQuotes = quoteAll || /["\r\n]/.test(cell) || cell.includes(delimiter)
    return needsQuotes && !unquoted ? `"${cell.replaceAll('"', '""')}"` : cell
  }
  return ({ columns, rows }) => {
    const lines = [...(header ? [columns] : []), ...rows].map((cells) => cells.map(cellText).join(delimiter) + lineEnd)
    return Buffer.from(prefix + lines.join(''))
  }
}

export const jsonLines = (objects: readonly string[]): string => objects.map((object) => `${object}\n`).join('')
export const jsonArray = (objects: readonly string[]): string => `[\n${objects.join(',\n')}\n]\n`

/** @param join makes a file of objects that are JSON already */
export function json(join: (objects: string[]) => string, nullText: string | null = null): RowsTo {
  return ({ columns, rows }) =>
    Buffer.from(
      join(
        rows.map((cells) =>
          JSON.stringify(Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? nullText]))),
        ),
      ),
    )
}

export interface AvroStyle {
  codec: string
  /** The union of a text's type. */
  text: string[]
  rowsPerBlock?: number
}

export const nullFirst = ['null', 'string']
export const nullLast = ['string', 'null']

export function avroRows({ codec, text, rowsPerBlock = 3 }: AvroStyle): RowsTo {
  return ({ columns, rows }) => {
    const fields = columns.map((name) => ({ name: name.toUpperCase(), type: name === 'user_id' ? 'long' : text }))
    const schema = recordOf(...fields)
    const record = avro.Type.forSchema(JSON.parse(JSON.stringify(schema)), { wrapUnions: false })
    const encoded = rows.map((cells) =>
      record.toBuffer(
        Object.fromEntries(
          fields.map(({ name, type }, index) => [name, type === 'long' ? Number(cells[index]) : cells[index]]),
        ),
      ),
    )
    const blocks = []
    for (let at = 0; at < encoded.length; at += rowsPerBlock) {
      const some = encoded.slice(at, at + rowsPerBlock)
      blocks.push({ rows: some.length, data: Buffer.concat(some) })
    }
    return avroFile({ schema, codec, blocks })
  }
}
