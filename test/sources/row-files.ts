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
  quote?: string
  lineEnd?: string
  prefix?: string
  quoteAll?: boolean
  unquoted?: boolean
  nullText?: string
  header?: boolean
}

export function csv(style: CsvStyle = {}): RowsTo {
  const { delimiter = ',', quote = '"', lineEnd = '\n', prefix = '', quoteAll, unquoted } = style
  const { nullText = '', header = true } = style
  const cellText = (cell: string | null): string => {
    if (cell === null) return nullText
    const needsQuotes = quoteAll || /[\r\n]/.test(cell) || [quote, delimiter].some((sign) => cell.includes(sign))
    return needsQuotes && !unquoted ? `${quote}${cell.replaceAll(quote, quote.repeat(2))}${quote}` : cell
  }
  return ({ columns, rows }) => {
    const lines = [...(header ? [columns] : []), ...rows].map((cells) => cells.map(cellText).join(delimiter) + lineEnd)
    return Buffer.from(prefix + lines.join(''))
  }
}

/** As programs write that put a backslash before what would end a cell; `quotes`: which cells stand in them. */
export interface EscapedStyle {
  delimiter: string
  quote?: string
  quotes: 'all' | 'some' | 'none'
  lineEnd?: string
  nullText?: string
  /** Letters for line ends and tabs, as PostgreSQL has them, and not the characters themselves. */
  letters?: boolean
}

export function escapedCsv(style: EscapedStyle): RowsTo {
  const { delimiter, quote = '"', quotes, lineEnd = '\n', nullText = '', letters = false } = style
  const escapedText = (cell: string): string => {
    const text = cell.replaceAll('\\', '\\\\')
    if (quotes === 'some') return text.replaceAll(quote, `\\${quote}`)
    const signs = letters ? ['\t'] : ['\n', '\r', delimiter, ...(quotes === 'all' ? ['"', "'"] : [])]
    const marked = signs.reduce((all, sign) => all.replaceAll(sign, `\\${sign}`), text)
    return letters ? marked.replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\\\t', '\\t') : marked
  }
  const cellText = (cell: string | null): string => {
    if (cell === null) return nullText
    const needsQuotes =
      quotes === 'all' ||
      (quotes === 'some' && (/[\r\n]/.test(cell) || [delimiter, quote].some((sign) => cell.includes(sign))))
    if (needsQuotes) return `${quote}${escapedText(cell)}${quote}`
    return quotes === 'some' ? cell : escapedText(cell)
  }
  return ({ columns, rows }) =>
    Buffer.from([columns, ...rows].map((cells) => cells.map(cellText).join(delimiter) + lineEnd).join(''))
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
