import { crc32, deflateRawSync } from 'node:zlib'
import { type Cut, type ReadRow } from '@heapferry/domain'
import avro from 'avsc'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'
import { inspectAvro } from '../../packages/sources/src/formats/avro/inspect-avro.ts'
import { cutAvro, readAvro } from '../../packages/sources/src/formats/avro/read-avro.ts'
import type { TableInFile } from '../../packages/sources/src/formats/file-format.ts'
import type { FileContent } from '../../packages/sources/src/unpacking/content.ts'
import { withPath } from '../../packages/sources/src/unusable-file.ts'

export const sync = Buffer.from('0123456789abcdef')

/** Packs the data of a block, by the codec's name in the header. */
export const codecs: Record<string, (data: Buffer) => Buffer> = {
  null: (data) => data,
  deflate: (data) => deflateRawSync(data),
  snappy(data) {
    const checksum = Buffer.alloc(4)
    checksum.writeUInt32BE(crc32(data))
    return Buffer.concat([snappyCompress(data), checksum])
  },
  /** A frame that says its size in 4 bytes, and blocks that are not compressed. */
  zstandard(data) {
    const size = Buffer.alloc(4)
    size.writeUInt32LE(data.length)
    const blocks = []
    for (let at = 0; at === 0 || at < data.length; at += 100_000) {
      const part = data.subarray(at, at + 100_000)
      const isLast = at + 100_000 >= data.length
      const head = Buffer.alloc(3)
      head.writeUIntLE(part.length * 8 + (isLast ? 1 : 0), 0, 3)
      blocks.push(head, part)
    }
    return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000]), size, ...blocks])
  },
}

export interface AvroFile {
  schema: unknown
  /** The rows of every block. */
  blocks: { rows: number; data: Buffer }[]
  codec?: string
}

/** An object container file, whatever its blocks hold. */
export function avroFile({ schema, blocks, codec = 'null' }: AvroFile): Buffer {
  const pack = codecs[codec] ?? codecs.null
  return Buffer.concat([
    avroHeader(typeof schema === 'string' ? schema : JSON.stringify(schema), codec),
    ...blocks.map(({ rows, data }) => avroBlock(rows, pack?.(data) ?? data)),
  ])
}

export function avroHeader(schema: string, codec: string): Buffer {
  const meta = { 'avro.schema': Buffer.from(schema), 'avro.codec': Buffer.from(codec) }
  return Buffer.concat([
    Buffer.from('Obj\x01', 'latin1'),
    avro.Type.forSchema({ type: 'map', values: 'bytes' }).toBuffer(meta),
    sync,
  ])
}

export function avroBlock(rows: number, data: Buffer): Buffer {
  return Buffer.concat([varint(rows), varint(data.length), data, sync])
}

/** A number as Avro writes it. */
export function varint(value: number | bigint): Buffer {
  const signed = BigInt(value)
  let left = signed < 0n ? -signed * 2n - 1n : signed * 2n
  const bytes = []
  for (; left > 0x7fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(left)])
}

export function avroText(value: string): Buffer {
  return Buffer.concat([varint(Buffer.byteLength(value)), Buffer.from(value)])
}

export function recordOf(...fields: { name: string; type: unknown; default?: unknown }[]): object {
  return { type: 'record', name: 'topLevelRecord', fields }
}

/** A column of every row, as the file's only one. */
export async function cellsOf(type: unknown, cells: readonly Buffer[]): Promise<(string | null)[]> {
  const file = avroFile({
    schema: recordOf({ name: 'a', type }),
    blocks: [{ rows: cells.length, data: Buffer.concat(cells) }],
  })
  const { rows } = await readAll(file)
  return rows.map((row) => (row.kind === 'row' ? (row.values[0] ?? null) : `unreadable: ${row.detail}`))
}

export function contentOf(bytes: Buffer, blockBytes = 1000): FileContent {
  return {
    async *blocks(start, end = bytes.length) {
      for (let at = start; at < end; at += blockBytes) yield bytes.subarray(at, Math.min(at + blockBytes, end))
    },
  }
}

/** Its only table. */
export async function inspected(content: FileContent): Promise<TableInFile> {
  const path = 'clicks.avro'
  const [table] = await inspectAvro({ content, path }).catch((error: unknown) => {
    throw withPath(path, error)
  })
  if (!table) throw new Error('no table is found')
  return table
}

/** Cuts a file, reads every chunk, and checks that they are what the contract of a format asks for. */
export async function readAll(
  file: Buffer,
  { chunkBytes = 200, content = contentOf(file) }: { chunkBytes?: number | null; content?: FileContent } = {},
): Promise<{ columns: readonly string[]; notices: string[]; cuts: Cut[]; rows: ReadRow[] }> {
  const { columns, notices = [], firstRowByte } = await inspected(content)
  const cuts: Cut[] = []
  for await (const cut of cutAvro(content, chunkBytes)) cuts.push(cut)

  const rows: ReadRow[] = []
  let nextByte = firstRowByte
  for (const cut of cuts) {
    if (cut.firstRow !== rows.length + 1) throw new Error(`row ${cut.firstRow} does not follow row ${rows.length}`)
    if (cut.range.kind === 'bytes') {
      if (cut.range.start !== nextByte) throw new Error(`byte ${cut.range.start} does not follow byte ${nextByte}`)
      nextByte = cut.range.end
    }
    const read = await readChunk(content, columns, cut)
    if (read.length !== cut.rows) throw new Error(`${cut.rows} rows were cut, ${read.length} read`)
    for (const row of read) rows.push(row)
  }
  if (cuts[0]?.range.kind === 'bytes' && nextByte !== file.length) throw new Error(`the cuts end at byte ${nextByte}`)
  return { columns, notices, cuts, rows }
}

async function readChunk(
  content: FileContent,
  columns: readonly string[],
  cut: Cut,
  limits = { rows: 7, bytes: 500 },
): Promise<ReadRow[]> {
  const rows = []
  for await (const slice of readAvro(content, columns, { piece: cut, from: { cursor: 0, rows: 0 }, limits })) {
    for (const row of slice.rows) rows.push(row)
    if (slice.next !== rows.length) throw new Error(`the cursor behind ${rows.length} rows is ${slice.next}`)
  }
  return rows
}
