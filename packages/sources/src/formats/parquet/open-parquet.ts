import {
  type CompressionCodec,
  type FileMetaData,
  type ParquetType,
  parquetMetadata,
  parquetSchema,
  type SchemaElement,
  type SchemaTree,
} from 'hyparquet'
import type { DeclaredType } from '@heapferry/domain'
import type { Blob } from '../../places/blob.ts'
import { UnusableFile } from '../../unusable-file.ts'
import { unpackableCodecs } from './unpack-page.ts'
import { cellOf, declaredTypeOf, jsonCellOf, type ParquetCell, simplify } from './value-text.ts'

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
  /** What its cells are; nothing where they are text. */
  type: DeclaredType | undefined
  /** Of a value as hyparquet hands it out. */
  cellOf(value: unknown): ParquetCell
}

/** Row groups lie one behind the other, each with a part of every column. */
export interface RowGroup {
  /** Rows of the file before it. */
  firstRow: number
  rows: number
  /** From the first byte of any of its columns to behind the last. */
  start: number
  end: number
  /** By path. */
  columns: ReadonlyMap<string, StoredColumn>
}

/** A column in a row group. */
interface StoredColumn {
  path: string
  type: ParquetType
  codec: CompressionCodec
  start: number
  end: number
  values: number
}

/** Of the names from the root of the schema to a column, which may have dots in them. */
export function pathOf(names: readonly string[]): string {
  return names.join('\0')
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
    const ofNode = nested ? jsonCellOf(child) : cellOf(element)
    return { name: element.name, element, schemaPath, nested, type: declaredTypeOf(child, nested), cellOf: ofNode }
  })
  // Behind that: how values are written depends on what is simplified.
  for (const element of metadata.schema) simplify(element)
  const rowGroups = rowGroupsOf(metadata, blob.version.sizeBytes)
  for (const group of rowGroups) for (const column of columns) assertStored(column, group)
  const rows = rowGroups.reduce((sum, group) => sum + group.rows, 0)
  if (rows !== Number(metadata.num_rows)) throw new Error(`${metadata.num_rows} rows, and ${rows} in its row groups`)
  return { blob, metadata, columns, rowGroups }
}

function rowGroupsOf({ row_groups }: FileMetaData, sizeBytes: number): RowGroup[] {
  let firstRow = 0
  return row_groups.map(({ num_rows, columns }) => {
    const rows = Number(num_rows)
    if (rows < 0) throw new Error(`a row group has ${rows} rows`)
    const stored = columns.map((column) => storedColumnOf(column, sizeBytes))
    const start = Math.min(...stored.map((column) => column.start))
    const end = Math.max(...stored.map((column) => column.end))
    const group = { firstRow, rows, start, end, columns: new Map(stored.map((column) => [column.path, column])) }
    firstRow += rows
    return group
  })
}

type ColumnInFooter = FileMetaData['row_groups'][number]['columns'][number]

function storedColumnOf({ file_path, meta_data }: ColumnInFooter, sizeBytes: number): StoredColumn {
  if (file_path) {
    throw new UnusableFile(
      `its columns lie in another file, ${JSON.stringify(file_path.slice(0, 100))}`,
      'It describes other files: leave it out, and migrate those.',
    )
  }
  if (meta_data === undefined) {
    throw new UnusableFile('columns of it are encrypted', 'Write the table again without encryption.')
  }
  const { path_in_schema, type, codec, num_values, total_compressed_size } = meta_data
  const path = pathOf(path_in_schema)
  if (!unpackableCodecs.has(codec)) {
    throw new UnusableFile(
      `its column "${path_in_schema.join('.')}" is packed with ${codec}, which cannot be unpacked here`,
      `Write the table again with one of ${[...unpackableCodecs].join(', ')}.`,
    )
  }
  // Some writers say 0 where there is no dictionary.
  const start = Number(meta_data.dictionary_page_offset || meta_data.data_page_offset)
  const end = start + Number(total_compressed_size)
  if (!(start >= 0 && start <= end && end <= sizeBytes)) {
    throw new Error(`column "${path_in_schema.join('.')}" from byte ${start} to ${end} of ${sizeBytes}`)
  }
  return { path, type, codec, start, end, values: Number(num_values) }
}

function assertStored({ name, nested }: ParquetColumn, { rows, columns }: RowGroup): void {
  if (nested) return
  const stored = columns.get(pathOf([name]))
  if (!stored) throw new Error(`column "${name}" is not in every row group`)
  if (stored.values > rows) throw new Error(`column "${name}" has ${stored.values} values for ${rows} rows`)
}
