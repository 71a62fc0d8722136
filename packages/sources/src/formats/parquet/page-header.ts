import type { Encoding } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'

/** What stands before a page. */
export type PageHeader = PageSizes &
  ({ kind: 'dictionary'; values: number } | { kind: 'values'; rows: number; encoding: Encoding; levels: Levels })

interface PageSizes {
  packedBytes: number
  unpackedBytes: number
}

/** Which rows have a value is packed with the values in the first version of the format, and lies before them in the second. */
type Levels =
  | { kind: 'packed'; encoding: Encoding }
  | { kind: 'apart'; start: number; end: number; nulls: number; areValuesPacked: boolean }

// Writers end a page after 1 MB, some after 100 MB.
const maxPageBytes = 256 * 1024 * 1024

/**
 * The header that bytes begin with, null where it is damaged: hyparquet hands out whatever is there.
 * @throws an error of any kind where no header ends within the bytes
 */
export function pageHeaderIn(bytes: Buffer): { header: PageHeader | null; length: number } {
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 }
  const header = checkedHeader(parquetHeader(reader))
  return { header, length: reader.offset }
}

function checkedHeader(header: ReturnType<typeof parquetHeader>): PageHeader | null {
  const { type, data_page_header: first, data_page_header_v2: second, dictionary_page_header: dictionary } = header
  const sizes = { packedBytes: header.compressed_page_size, unpackedBytes: header.uncompressed_page_size }
  if (!areCounts(sizes.packedBytes, sizes.unpackedBytes)) return null
  if (Math.max(sizes.packedBytes, sizes.unpackedBytes) > maxPageBytes) return null
  if (type === 'DICTIONARY_PAGE' && dictionary && areCounts(dictionary.num_values)) {
    return { ...sizes, kind: 'dictionary', values: dictionary.num_values }
  }
  if (type === 'DATA_PAGE' && first && areCounts(first.num_values)) {
    const { num_values: rows, encoding, definition_level_encoding } = first
    return { ...sizes, kind: 'values', rows, encoding, levels: { kind: 'packed', encoding: definition_level_encoding } }
  }
  if (type !== 'DATA_PAGE_V2' || !second) return null
  const { num_values, num_rows: rows, num_nulls: nulls, encoding, is_compressed = true } = second
  const { repetition_levels_byte_length: start, definition_levels_byte_length: levelBytes } = second
  const end = start + levelBytes
  if (!areCounts(rows, nulls, start, levelBytes) || rows !== num_values) return null
  if (end > sizes.packedBytes || end > sizes.unpackedBytes) return null
  const levels: Levels = { kind: 'apart', start, end, nulls, areValuesPacked: is_compressed }
  return { ...sizes, kind: 'values', rows, encoding, levels }
}

function areCounts(...numbers: number[]): boolean {
  return numbers.every((number) => Number.isInteger(number) && number >= 0)
}
