import { type FileMetaData, parquetMetadata, parquetSchema, type SchemaElement, type SchemaTree } from 'hyparquet'
import { UnusableFile } from '../avro/unusable-file.ts'
import type { Blob } from '../blob.ts'
import { unpackableCodecs } from './unpack-page.ts'
import { type Cell, cellOf, jsonCellOf, simplify } from './value-text.ts'

/** What the footer of a Parquet file says. */
export interface ParquetFile {
  blob: Blob
  metadata: FileMetaData
  columns: readonly ParquetColumn[]
  rowGroups: readonly RowGroup[]
}

export interface ParquetColumn {
  name: string
  element: SchemaElement
  /** From the root of the schema to the column. */
  schemaPath: SchemaTree[]
  /** Lists, maps and records: several stored columns, or several values a row. */
  nested: boolean
  /** Of a value as hyparquet hands it out. */
  cellOf(value: unknown): Cell
}

/** Row groups lie one behind the other, each with a part of every column. */
export interface RowGroup {
  /** Rows of the file before it. */
  firstRow: number
  rows: number
  firstByte: number
  columns: FileMetaData['row_groups'][number]['columns']
}

// Enough for the footer of 25 columns in ten row groups.
const firstTryBytes = 64 * 1024
// The length of the footer, and the mark that a file ends with.
const endBytes = 8

/** @throws UnusableFile when there is no footer that can be read, and so no row */
export async function openParquet(blob: Blob): Promise<ParquetFile> {
  const footer = await readFooter(blob)
  try {
    return parseFooter(blob, footer)
  } catch (cause) {
    if (cause instanceof UnusableFile) throw cause
    throw noFooter(`its footer is damaged (${cause instanceof Error ? cause.message : String(cause)})`, cause)
  }
}

async function readFooter(blob: Blob): Promise<Buffer> {
  const { sizeBytes } = blob.version
  const tail = await tailOf(blob, Math.min(firstTryBytes, sizeBytes))
  const mark = tail.subarray(-4).toString('latin1')
  if (mark === 'PARE') {
    throw new UnusableFile('it is encrypted, and cannot be read here', 'Write the table again without encryption.')
  }
  if (mark !== 'PAR1' || sizeBytes < endBytes) throw noFooter('it does not end like one')
  const bytes = tail.readUInt32LE(tail.length - endBytes) + endBytes
  if (bytes > sizeBytes) throw noFooter('its footer is longer than the file')
  return bytes <= tail.length ? tail.subarray(-bytes) : tailOf(blob, bytes)
}

async function tailOf(blob: Blob, bytes: number): Promise<Buffer> {
  const tail = Buffer.allocUnsafe(bytes)
  await blob.fill(tail, blob.version.sizeBytes - bytes)
  return tail
}

function noFooter(what: string, cause?: unknown): UnusableFile {
  return new UnusableFile(
    `it is no whole Parquet file: ${what}`,
    'It may have been cut off while it was copied. Copy it, or unload the table, once more.',
    { cause },
  )
}

function parseFooter(blob: Blob, footer: Buffer): ParquetFile {
  const metadata = parquetMetadata(footer, { geoparquet: false })
  const root = parquetSchema(metadata)
  const columns = root.children.map((child) => {
    const { element, children } = child
    const nested = children.length > 0 || element.repetition_type === 'REPEATED'
    const schemaPath = [root, child]
    return { name: element.name, element, schemaPath, nested, cellOf: nested ? jsonCellOf(child) : cellOf(element) }
  })
  // Behind that: how values are written depends on what is simplified.
  for (const element of metadata.schema) simplify(element)
  return { blob, metadata, columns, rowGroups: rowGroupsOf(metadata) }
}

function rowGroupsOf({ row_groups }: FileMetaData): RowGroup[] {
  let firstRow = 0
  return row_groups.map(({ num_rows, columns }) => {
    for (const { file_path, meta_data } of columns) {
      if (file_path !== undefined) {
        throw new UnusableFile(
          `its columns lie in another file, ${JSON.stringify(file_path.slice(0, 100))}`,
          'It describes other files: leave it out, and migrate those.',
        )
      }
      if (meta_data === undefined) {
        throw new UnusableFile('columns of it are encrypted', 'Write the table again without encryption.')
      }
      if (!unpackableCodecs.has(meta_data.codec)) {
        throw new UnusableFile(
          `its column "${meta_data.path_in_schema.join('.')}" is packed with ${meta_data.codec}, which cannot be unpacked here`,
          `Write the table again with one of ${[...unpackableCodecs].join(', ')}.`,
        )
      }
    }
    const rows = Number(num_rows)
    if (!(rows >= 0)) throw new Error('a row group has no number of rows')
    const group = { firstRow, rows, firstByte: columns[0] ? firstByteOf(columns[0]) : 0, columns }
    firstRow += rows
    return group
  })
}

type StoredColumn = RowGroup['columns'][number]

export function firstByteOf({ meta_data }: StoredColumn): number {
  // Some writers say 0 where there is no dictionary.
  return Number(meta_data?.dictionary_page_offset || meta_data?.data_page_offset || -1)
}
