import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { crc32, createGzip } from 'node:zlib'
import type { Values } from '@heapferry/domain'
import { sourceAt } from '@heapferry/sources'
import avro from 'avsc'
import { fileWriter, ParquetWriter, schemaFromColumnData } from 'hyparquet-writer'
import { snappyCompress } from 'hyparquet-writer/src/snappy.js'
import { avroRecordOf, avroTypeOf, jsonElementOf, jsonLineOf, parquetColumnsOf } from '../test/support/write-table.ts'
import { openFile } from './read-chunks.ts'

// As Spark's default of 128 MB gives them for such rows, about.
const rowGroupRows = 100_000

/**
 * What writes the rows of a folder's `pageviews.csv` again, by the name of the file that comes of it. Each holds little in
 * memory, so a million rows are no trouble.
 */
export const formatWriters: Record<string, (folder: string, file: string) => Promise<void>> = {
  'pageviews.csv': async () => {},
  'pageviews.csv.gz': async (folder, file) => {
    await pipeline(createReadStream(csvOf(folder)), createGzip(), createWriteStream(file))
  },
  'pageviews.csv.zst': (folder, file) => byProgram('zstd', ['-q', '-k', csvOf(folder), '-o', file]),
  'pageviews.csv.bz2': (folder) => byProgram('bzip2', ['-k', csvOf(folder)]),
  'pageviews.jsonl': (folder, file) =>
    writeText(file, folder, (columns, row, index) => `${index > 0 ? '\n' : ''}${jsonLineOf(columns, row)}`),
  'pageviews.json': (folder, file) =>
    writeText(
      file,
      folder,
      (columns, row, index) => `${index > 0 ? ',\n' : '[\n'}${jsonElementOf(columns, row)}`,
      '\n]',
    ),
  'pageviews-snappy.avro': (folder, file) => writeAvro(file, folder, 'snappy'),
  'pageviews-deflate.avro': (folder, file) => writeAvro(file, folder, 'deflate'),
  'pageviews.parquet': writeParquet,
}

function csvOf(folder: string): string {
  return path.join(folder, 'pageviews.csv')
}

async function byProgram(program: string, args: readonly string[]): Promise<void> {
  await promisify(execFile)(program, args)
}

async function* tableRows(folder: string): AsyncGenerator<{ columns: readonly string[]; values: Values }[]> {
  const { place, file } = await openFile(folder, 'pageviews.csv')
  for await (const { rows } of sourceAt(place).readAll(file, { rows: 5000, bytes: 8_000_000 }))
    yield [...rows].flatMap((row) => (row.kind === 'row' ? [{ columns: row.columns, values: row.values }] : []))
}

async function writeText(
  file: string,
  folder: string,
  textOf: (columns: readonly string[], row: Values, index: number) => string,
  end = '\n',
): Promise<void> {
  async function* texts(): AsyncGenerator<string> {
    let index = 0
    for await (const rows of tableRows(folder))
      yield rows.map(({ columns, values }) => textOf(columns, values, index++)).join('')
    yield end
  }
  await pipeline(Readable.from(texts()), createWriteStream(file))
}

async function writeAvro(file: string, folder: string, codec: string): Promise<void> {
  const { file: csv } = await openFile(folder, 'pageviews.csv')
  async function* records(): AsyncGenerator<object> {
    for await (const rows of tableRows(folder))
      for (const { columns, values } of rows) yield avroRecordOf(columns, values)
  }
  const codecs = { ...avro.streams.BlockEncoder.defaultCodecs(), snappy }
  const encoder = new avro.streams.BlockEncoder(avroTypeOf(csv.columns), { codec, codecs })
  await pipeline(Readable.from(records()), encoder, createWriteStream(file))
}

function snappy(data: Buffer, done: (error: Error | null, packed: Buffer) => void): void {
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(data))
  done(null, Buffer.concat([snappyCompress(data), checksum]))
}

async function writeParquet(folder: string, file: string): Promise<void> {
  const { file: csv } = await openFile(folder, 'pageviews.csv')
  let writer: ParquetWriter | undefined
  let group: Values[] = []
  const writeGroup = () => {
    const columnData = parquetColumnsOf(csv.columns, group)
    writer ??= new ParquetWriter({ writer: fileWriter(file), schema: schemaFromColumnData({ columnData }) })
    group = []
    return writer.write({ columnData, rowGroupSize: rowGroupRows })
  }
  for await (const rows of tableRows(folder)) {
    group.push(...rows.map(({ values }) => values))
    if (group.length >= rowGroupRows) await writeGroup()
  }
  if (group.length > 0) await writeGroup()
  await writer?.finish()
}
