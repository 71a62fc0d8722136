import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetSchema, type SchemaElement } from 'hyparquet'
import { bytesText, dateText, decimalText, timestampText, timeText, unscaledOf, uuidText } from '../cell-text.ts'
import type { Blob } from '../blob.ts'

/** The footer of a Parquet file, and how the values of its columns are written as text. */
export interface ParquetFile {
  buffer: AsyncBuffer
  metadata: FileMetaData
  columns: { name: string; nested: boolean; text(value: unknown): string | null }[]
}

/** @throws whatever the footer is not readable for */
export async function openParquet(blob: Blob): Promise<ParquetFile> {
  const buffer: AsyncBuffer = {
    byteLength: blob.version.sizeBytes,
    async slice(start, end = blob.version.sizeBytes) {
      const bytes = Buffer.allocUnsafeSlow(end - start)
      await blob.fill(bytes, start)
      return bytes.buffer
    },
  }
  const metadata = await parquetMetadataAsync(buffer, { geoparquet: false })
  const columns = parquetSchema(metadata).children.map(({ element, children }) => {
    const nested = children.length > 0 || element.repetition_type === 'REPEATED'
    return { name: element.name, nested, text: nested ? nestedText : textOf(element) }
  })
  // The reader makes doubles of decimals; without the annotation it hands out what is stored.
  for (const element of metadata.schema) {
    if (!isDecimal(element)) continue
    delete element.converted_type
    delete element.logical_type
  }
  return { buffer, metadata, columns }
}

/** Exact, where the reader's own forms cut digits off. */
export const exactParsers = {
  timestampFromMilliseconds: (value: bigint) => timestampText(value, 'millis'),
  timestampFromMicroseconds: (value: bigint) => timestampText(value, 'micros'),
  timestampFromNanoseconds: (value: bigint) => timestampText(value, 'nanos'),
  dateFromDays: dateText,
  jsonFromBytes: (bytes: Uint8Array | undefined) => bytes && bytesText(bytes),
  uuidFromBytes: (bytes: Uint8Array | undefined) => bytes && uuidText(bytes),
}

function isDecimal({ converted_type, logical_type }: SchemaElement): boolean {
  return converted_type === 'DECIMAL' || logical_type?.type === 'DECIMAL'
}

function textOf(element: SchemaElement): (value: unknown) => string | null {
  const logical = element.logical_type
  if (isDecimal(element)) {
    const scale = element.scale ?? (logical?.type === 'DECIMAL' ? logical.scale : 0)
    return (value) => {
      if (value === null || value === undefined) return null
      if (value instanceof Uint8Array) return decimalText(unscaledOf(value), scale)
      return typeof value === 'number' || typeof value === 'bigint'
        ? decimalText(BigInt(value), scale)
        : plainText(value)
    }
  }
  if (logical?.type === 'TIME' || element.converted_type?.startsWith('TIME_')) {
    const unit =
      element.converted_type === 'TIME_MILLIS' || (logical?.type === 'TIME' && logical.unit === 'MILLIS')
        ? 'millis'
        : logical?.type === 'TIME' && logical.unit === 'NANOS'
          ? 'nanos'
          : 'micros'
    return (value) =>
      typeof value === 'number' || typeof value === 'bigint' ? timeText(value, unit) : plainText(value)
  }
  return plainText
}

function plainText(value: unknown): string | null {
  if (value === null || value === undefined || value === '') return null
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  return value instanceof Uint8Array ? bytesText(value) : nestedText(value)
}

/** Lists, maps and structs as compact JSON; integers that JSON's readers would round stay numbers with all digits. */
function nestedText(value: unknown): string | null {
  return value === null || value === undefined ? null : json(value)
}

function json(value: unknown): string {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return JSON.stringify(bytesText(value))
  if (value instanceof BigInt64Array || value instanceof Int32Array) return `[${value.join(',')}]`
  if (value instanceof Float64Array || value instanceof Float32Array) return `[${Array.from(value, json).join(',')}]`
  if (Array.isArray(value)) return `[${value.map(json).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, inner]) => inner !== undefined)
    return `{${members.map(([key, inner]) => `${JSON.stringify(key)}:${json(inner)}`).join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}
