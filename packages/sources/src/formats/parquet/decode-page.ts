import type { DataReader, DecodedArray, Encoding } from 'hyparquet'
import { convert } from 'hyparquet/src/convert.js'
import { deltaBinaryUnpack, deltaByteArray, deltaLengthByteArray } from 'hyparquet/src/delta.js'
import { byteStreamSplit, readRleBitPackedHybrid } from 'hyparquet/src/encoding.js'
import { readPlain } from 'hyparquet/src/plain.js'
import { readVarInt } from 'hyparquet/src/thrift.js'
import { type Cells, cellsOf } from './cells.ts'
import type { PageHeader } from './page-header.ts'
import { unpackPage } from './unpack-page.ts'
import type { ParquetCell } from './value-text.ts'

/** How a column with one value a row is stored in a row group. */
export interface FlatStorage {
  decoder: Parameters<typeof convert>[1]
  cellOf(value: unknown): ParquetCell
}

/**
 * The page of values that a header announces, by hyparquet's decoders of each encoding. Not by its reader of pages, which
 * trusts the bytes: of a number that is not in the dictionary it makes a null, and damaged lengths have it fill arrays
 * until memory runs out.
 *
 * @param dictionary an error where there is one that cannot be read
 * @throws an error of any kind when the bytes are not what the header says
 */
export async function decodePage(
  header: ValuesHeader,
  bytes: Buffer,
  { decoder, cellOf }: FlatStorage,
  dictionary: readonly ParquetCell[] | Error | null,
): Promise<Cells> {
  const { present, values } = await openPage(header, bytes, decoder)
  const count = present === null ? header.rows : countPresent(present)
  const { encoding, levels, rows } = header
  if (levels.kind === 'apart' && levels.nulls !== rows - count) {
    throw new Error(`${rows - count} rows without a value, its header says ${levels.nulls}`)
  }
  if (!isDictionary(encoding)) {
    const decoded = convert(readValues(readerOf(values), encoding, count, decoder), decoder)
    return cellsOf(present, (value) => cellOf(decoded[value]))
  }
  if (dictionary instanceof Error) throw dictionary
  if (dictionary === null) throw new Error('its dictionary is missing')
  const numbers = readNumbers(readerOf(values), count, dictionary.length)
  return cellsOf(present, (value) => dictionary[numbers[value] ?? 0] ?? null)
}

type ValuesHeader = Extract<PageHeader, { kind: 'values' }>
type DictionaryHeader = Extract<PageHeader, { kind: 'dictionary' }>

/** The values that pages of a column refer to by number. */
export async function decodeDictionary(
  header: DictionaryHeader,
  bytes: Buffer,
  { decoder, cellOf }: FlatStorage,
): Promise<ParquetCell[]> {
  const page = exact(await unpackPage(bytes, header.unpackedBytes, decoder.codec))
  return Array.from(convert(readValues(readerOf(page), 'PLAIN', header.values, decoder), decoder), cellOf)
}

/** @returns present: for every row whether it has a value, null where all have one */
async function openPage(
  { rows, levels, unpackedBytes }: ValuesHeader,
  bytes: Buffer,
  { codec, element }: FlatStorage['decoder'],
): Promise<{ present: Uint8Array | null; values: Uint8Array }> {
  const isOptional = element.repetition_type === 'OPTIONAL'
  switch (levels.kind) {
    case 'packed': {
      const page = await unpackPage(bytes, unpackedBytes, codec)
      if (!isOptional) return { present: null, values: exact(page) }
      if (levels.encoding !== 'RLE') throw new Error(`levels as ${levels.encoding} are not known here`)
      const reader = readerOf(page)
      const levelBytes = reader.view.getUint32(0, true)
      reader.offset = 4
      const present = readRuns(reader, 1, new Uint8Array(rows), levelBytes)
      return { present, values: exact(page.subarray(reader.offset)) }
    }
    case 'apart': {
      const { start, end, areValuesPacked } = levels
      const reader = readerOf(bytes.subarray(start, end))
      const present = isOptional ? readRuns(reader, 1, new Uint8Array(rows), end - start) : null
      const values = await unpackPage(
        bytes.subarray(end),
        unpackedBytes - end,
        areValuesPacked ? codec : 'UNCOMPRESSED',
      )
      return { present, values: exact(values) }
    }
  }
}

function countPresent(present: Uint8Array): number {
  let count = 0
  for (const level of present) {
    if (level > 1) throw new Error(`a level of ${level}`)
    count += level
  }
  return count
}

function isDictionary(encoding: Encoding): boolean {
  return encoding === 'RLE_DICTIONARY' || encoding === 'PLAIN_DICTIONARY'
}

// fastparquet writes eight bytes of nothing behind values.
const maxFillBytes = 8

function readValues(
  reader: DataReader,
  encoding: Encoding,
  count: number,
  { type, element }: FlatStorage['decoder'],
): DecodedArray {
  if (count === 0) return []
  // No value takes less than a bit: what is claimed beyond that is not worth an array.
  if (count > reader.view.byteLength * 8 && encoding === 'PLAIN') throw new Error(`no room for ${count} values`)
  switch (encoding) {
    case 'PLAIN': {
      const values = readPlain(reader, type, count, element.type_length)
      const left = reader.view.byteLength - reader.offset
      if (left > maxFillBytes) throw new Error(`it goes on for ${left} bytes behind its last value`)
      return values
    }
    case 'RLE': {
      if (type !== 'BOOLEAN') throw new Error(`${type} as RLE is not known here`)
      const bytes = reader.view.getUint32(0, true)
      reader.offset = 4
      return Array.from(readRuns(reader, 1, new Uint8Array(count), bytes), (bit) => bit === 1)
    }
    case 'DELTA_BINARY_PACKED': {
      if (type !== 'INT32' && type !== 'INT64') throw new Error(`${type} as ${encoding} is not known here`)
      assertDeltas(reader, count)
      const values = type === 'INT32' ? new Int32Array(count) : new BigInt64Array(count)
      deltaBinaryUnpack(reader, count, values)
      return values
    }
    case 'DELTA_LENGTH_BYTE_ARRAY': {
      assertDeltas(reader, count)
      const values: Uint8Array[] = []
      deltaLengthByteArray(reader, count, values)
      return values
    }
    case 'DELTA_BYTE_ARRAY': {
      assertPrefixes(reader, count)
      const values: Uint8Array[] = []
      deltaByteArray(reader, count, values)
      return values
    }
    case 'BYTE_STREAM_SPLIT':
      return byteStreamSplit(reader, count, type, element.type_length)
    case 'RLE_DICTIONARY':
    case 'PLAIN_DICTIONARY':
    case 'BIT_PACKED':
    case 'GROUP_VAR_INT':
      break
  }
  // Nor is one that a damaged header claims, and that no version of the format has.
  throw new Error(`values as ${encoding} are not known here`)
}

// hyparquet unpacks wider numbers wrongly, and no page has room for a dictionary that needs them.
const maxNumberBits = 24

function readNumbers(reader: DataReader, count: number, dictionarySize: number): Uint32Array {
  const numbers = new Uint32Array(count)
  if (count === 0) return numbers
  const width = reader.view.getUint8(reader.offset++)
  if (width > maxNumberBits) throw new Error(`numbers of ${width} bits`)
  if (width > 0) readRuns(reader, width, numbers, reader.view.byteLength - reader.offset)
  for (const number of numbers) {
    if (number >= dictionarySize) throw new Error(`number ${number} is not in its dictionary of ${dictionarySize}`)
  }
  return numbers
}

/**
 * Numbers in runs, of one that is repeated or of several that are packed. hyparquet believes the length of a run: a single
 * flipped bit would keep it writing for seconds.
 */
function readRuns<T extends Uint8Array | Uint32Array>(reader: DataReader, width: number, numbers: T, bytes: number): T {
  const ahead = { view: reader.view, offset: reader.offset }
  const end = reader.offset + bytes
  for (let seen = 0; seen < numbers.length; ) {
    const head = readVarInt(ahead)
    const isPacked = (head & 1) === 1
    const run = isPacked ? (head >>> 1) * 8 : head >>> 1
    // The last one may be filled up.
    const needed = Math.min(run, numbers.length - seen)
    if (!isPacked && run >= needed + 8) throw new Error(`a run of ${run} values where ${needed} are missing`)
    if (ahead.offset + Math.ceil((isPacked ? needed * width : width) / 8) > end)
      throw new Error('a run goes beyond its end')
    ahead.offset += isPacked ? (run / 8) * width : Math.ceil(width / 8)
    seen += run
  }
  readRleBitPackedHybrid(reader, width, numbers, bytes)
  return numbers
}

/** hyparquet goes round and round where blocks have no size. */
function assertDeltas({ view, offset }: DataReader, count: number): void {
  const ahead = { view, offset }
  const blockValues = readVarInt(ahead)
  const parts = readVarInt(ahead)
  const values = readVarInt(ahead)
  if (!(blockValues > 0 && parts > 0 && blockValues % parts === 0)) {
    throw new Error(`blocks of ${blockValues} values in ${parts} parts`)
  }
  if (values < count) throw new Error(`${values} values for ${count} rows`)
}

/** What values begin with is taken from the one before. hyparquet makes room for as much as is claimed. */
function assertPrefixes(reader: DataReader, count: number): void {
  const ahead = { view: reader.view, offset: reader.offset }
  const prefixes = new Int32Array(count)
  const suffixes = new Int32Array(count)
  for (const lengths of [prefixes, suffixes]) {
    assertDeltas(ahead, count)
    deltaBinaryUnpack(ahead, count, lengths)
  }
  let before = 0
  for (const [index, prefix] of prefixes.entries()) {
    if (prefix < 0 || prefix > before) throw new Error(`a value begins with ${prefix} bytes of one that has ${before}`)
    before = prefix + (suffixes[index] ?? 0)
  }
}

function readerOf(bytes: Uint8Array): DataReader {
  return { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 }
}

/** In memory of its own: hyparquet looks at the whole buffer, and would read on into what lies behind. */
function exact(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset + bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}
