import { isUtf8 } from 'node:buffer'
import type { Columns, ExportFile, Format, ReadRow } from '@heapferry/domain'
import type { FileFormat } from '../file-format.ts'
import { problemOf } from '../text/problem-of.ts'
import type { TextRows } from '../text/read-text.ts'
import type { RowFinder, RowSpan } from '../text/row-finder.ts'
import type { ScannedRows } from '../text/scan-rows.ts'
import { textFormat } from '../text/text-format.ts'
import { ElementFinder } from './element-finder.ts'
import { LineFinder } from './line-finder.ts'
import { parseObject } from './parse-object.ts'
import { type FlatRow, RowShapes } from './row-shapes.ts'

export type JsonFormat = Extract<Format, { kind: 'json_lines' | 'json_array' }>

/** Its columns are those that were found when the file was inspected. */
export function jsonFormat(file: ExportFile, format: JsonFormat): FileFormat {
  return textFormat(file, rowsOf(format, file.columns), { isEnterable: format.kind === 'json_lines' })
}

function rowsOf(format: JsonFormat, fileColumns: Columns): TextRows {
  const { records, undoubled, renamed = {} } = format
  const shapes = new RowShapes({ idIsUserId: records !== 'all', fileColumns, renamed })
  const read = (text: string): Read => readRow(text, undoubled, shapes)
  const every: TextRows = {
    finder: () => finderOf(format),
    parse: (group, firstRow) => parseRows(group, firstRow, read),
  }
  if (records === 'all') return every
  const hasKey = !Object.values(renamed).includes('identity')
  return { ...every, select: (group) => selectRows(group, { identify: records === 'identify', hasKey, read }) }
}

export function finderOf({ kind, undoubled }: Pick<JsonFormat, 'kind' | 'undoubled'>): RowFinder {
  return kind === 'json_lines' ? new LineFinder() : new ElementFinder({ undoubled })
}

export type Read = FlatRow | { kind: 'fault'; detail: string }

export function readRow(text: string, undoubled: boolean, shapes: RowShapes): Read {
  try {
    const parsed = parseObject(text, undoubled)
    return parsed.kind === 'fault' ? parsed : shapes.flatten(parsed.object)
  } catch (error) {
    if (error instanceof RangeError) return { kind: 'fault', detail: 'the row is nested deeper than can be read' }
    throw error
  }
}

function* parseRows(group: ScannedRows, firstRow: number, read: (text: string) => Read): Generator<ReadRow> {
  const textOf = decoderOf(group)
  let row = firstRow
  for (const span of group.spans) {
    const place = { row: row++, byte: span.start }
    const problem = problemOf(span)
    if (problem) {
      yield { kind: 'unreadable', place, ...problem }
      continue
    }
    const text = textOf(span)
    const found = text === null ? notUtf8 : read(text)
    yield found.kind === 'row'
      ? { kind: 'row', place, columns: found.columns, values: found.values, types: found.types }
      : { kind: 'unreadable', place, reason: 'not_decodable', detail: found.detail }
  }
}

const notUtf8 = { kind: 'fault', detail: 'the row is not valid UTF-8' } as const

/**
 * The rows that are identify records, or all others: what cannot be read counts among the events.
 * @param hasKey whether an identity always stands under that key
 */
function selectRows(
  group: ScannedRows,
  { identify, hasKey, read }: { identify: boolean; hasKey: boolean; read: (text: string) => Read },
): RowSpan[] {
  const { bytes, bytesAt, spans } = group
  const textOf = decoderOf(group)
  let key = -1
  return spans.filter((span) => {
    if (span.state !== 'plain') return !identify
    const start = span.start - bytesAt
    // Few rows have the key, and a native search passes all others quickly.
    if (hasKey && key < start) key = indexOrEnd(bytes, '"identity"', start)
    if (hasKey && key >= span.end - bytesAt) return !identify
    const text = textOf(span)
    const found = text === null ? notUtf8 : read(text)
    return (found.kind === 'row' && found.isIdentify) === identify
  })
}

function indexOrEnd(bytes: Buffer, text: string, start: number): number {
  const index = bytes.indexOf(text, start)
  return index === -1 ? bytes.length : index
}

/** The text of rows; null where the bytes are no UTF-8. */
function decoderOf({ bytes, bytesAt, spans, next }: ScannedRows): (span: RowSpan) => string | null {
  const isWhole = isUtf8(bytes.subarray((spans[0]?.start ?? bytesAt) - bytesAt, next - bytesAt))
  return (span) => {
    const start = span.start - bytesAt
    const end = span.end - bytesAt
    return isWhole || isUtf8(bytes.subarray(start, end)) ? bytes.toString('utf8', start, end) : null
  }
}
