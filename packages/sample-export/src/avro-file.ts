import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { crc32, deflateRawSync } from 'node:zlib'
import type { Row } from './traps.ts'

export interface AvroField {
  name: string
  type: 'long' | 'string'
  /** How a cell may hold nothing: which comes first in the union, or that it may not. */
  union: 'null_first' | 'null_last' | 'bare'
}

export type AvroCodec = 'null' | 'deflate' | 'snappy'

export interface AvroContent {
  columns: readonly AvroField[]
  rows: readonly Row[]
  codec: AvroCodec
  /** What the mark between blocks is made from: chance would not give the same bytes twice. */
  syncOf: string
}

/**
 * Writes rows as an Avro file of one block, or of none where there are no rows.
 * https://avro.apache.org/docs/1.12.0/specification/#object-container-files
 */
export async function writeAvroFile(path: string, { columns, rows, codec, syncOf }: AvroContent): Promise<void> {
  // The name that Spark gives to every record.
  const schema = JSON.stringify({ type: 'record', name: 'topLevelRecord', fields: columns.map(fieldOf) })
  const sync = createHash('md5').update(syncOf).digest()
  const metadata = [pair('avro.schema', schema), pair('avro.codec', codec)]
  const header = [Buffer.from('Obj\x01'), long(2n), ...metadata, long(0n), sync]
  const data = packed(Buffer.concat(rows.flatMap((row) => columns.map((column) => cell(column, row)))), codec)
  const block = rows.length === 0 ? [] : [long(BigInt(rows.length)), long(BigInt(data.length)), data, sync]
  await writeFile(path, Buffer.concat([...header, ...block]))
}

function fieldOf({ name, type, union }: AvroField) {
  switch (union) {
    case 'null_first':
      return { name, type: ['null', type] }
    case 'null_last':
      return { name, type: [type, 'null'] }
    case 'bare':
      return { name, type }
  }
}

function cell({ name, type, union }: AvroField, row: Row): Buffer {
  const value = row[name] ?? null
  if (value === null && union === 'bare') throw new Error(`${name} must hold a value`)
  const branchOfNull = union === 'null_first' ? 0n : 1n
  const branch = union === 'bare' ? [] : [long(value === null ? branchOfNull : 1n - branchOfNull)]
  if (value === null) return Buffer.concat(branch)
  return Buffer.concat([...branch, type === 'long' ? long(BigInt(value)) : text(value)])
}

function pair(key: string, value: string): Buffer {
  return Buffer.concat([text(key), text(value)])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([long(BigInt(bytes.length)), bytes])
}

/** Zigzag, then seven bits a byte. */
function long(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(rest)])
}

function packed(data: Buffer, codec: AvroCodec): Buffer {
  switch (codec) {
    case 'null':
      return data
    case 'deflate':
      return deflateRawSync(data)
    case 'snappy':
      return snappy(data)
  }
}

/**
 * Snappy's format without its compression: every byte as a literal, which is all that a reader can tell.
 * https://github.com/google/snappy/blob/main/format_description.txt
 */
function snappy(data: Buffer): Buffer {
  const parts: Buffer[] = [varint(data.length)]
  for (let at = 0; at < data.length; at += literalBytes) {
    const literal = data.subarray(at, at + literalBytes)
    // 61 says that the length less one follows in two bytes.
    const tag = Buffer.from([61 << 2, 0, 0])
    tag.writeUInt16LE(literal.length - 1, 1)
    parts.push(tag, literal)
  }
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(data))
  return Buffer.concat([...parts, checksum])
}

const literalBytes = 65_536

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Buffer.from([...bytes, rest])
}
