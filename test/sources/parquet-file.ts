import { type Chunk, chunkIdOf, FileId, type ReadRow, RunId } from '@heapferry/domain'
import { parquetMetadata } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import { type ColumnSource, type ParquetWriteOptions, parquetWriteBuffer } from 'hyparquet-writer'
import type { TableInFile } from '../../packages/sources/src/formats/file-format.ts'
import { inspectParquet } from '../../packages/sources/src/formats/parquet/inspect-parquet.ts'
import { cutParquet, readParquet } from '../../packages/sources/src/formats/parquet/read-parquet.ts'
import type { Blob } from '../../packages/sources/src/places/blob.ts'
import { withPath } from '../../packages/sources/src/unusable-file.ts'

/** A file as most writers make it, without an index of its pages, and not packed unless told otherwise. */
export function parquetFile(columns: ColumnSource[], options: Omit<ParquetWriteOptions, 'columnData' | 'writer'> = {}) {
  const columnData = columns.map((column) => ({ offsetIndex: false, ...column }))
  return Buffer.from(parquetWriteBuffer({ codec: 'UNCOMPRESSED', statistics: false, ...options, columnData }))
}

/** What was asked of a blob. */
export interface Fetch {
  at: number
  bytes: number
}

export function blobOf(bytes: Uint8Array, fetches: Fetch[] = []): Blob {
  return {
    version: { sizeBytes: bytes.length, mark: '' },
    async fill(target, at) {
      fetches.push({ at, bytes: target.length })
      if (at < 0 || at + target.length > bytes.length)
        throw new Error(`bytes ${at} to ${at + target.length} are not there`)
      target.set(bytes.subarray(at, at + target.length))
    },
    async close() {},
  }
}

/** Its only table. */
export async function inspected(blob: Blob): Promise<TableInFile> {
  const path = 'clicks.parquet'
  const [table] = await inspectParquet({ blob, path, compression: 'none' }).catch((error: unknown) => {
    throw withPath(path, error)
  })
  if (!table) throw new Error('no table is found')
  return table
}

/** A file, inspected, cut and read as a run does it. */
export async function readAll(
  bytes: Uint8Array,
  { chunkBytes = 1, blob = blobOf(bytes) }: { chunkBytes?: number; blob?: Blob } = {},
): Promise<{ columns: readonly string[]; notices: string[]; rows: ReadRow[] }> {
  const { columns, notices = [] } = await inspected(blob)
  const rows: ReadRow[] = []
  for await (const { range, firstRow, rows: count } of cutParquet(blob, chunkBytes)) {
    const chunk = chunkOf(range, firstRow, count)
    for await (const slice of readParquet(blob, columns, { piece: chunk, from: { cursor: 0, rows: 0 }, limits }))
      rows.push(...slice.rows)
  }
  return { columns, notices, rows }
}

const limits = { rows: 1000, bytes: 1_000_000 }

export function chunkOf(range: Chunk['range'], firstRow: number, rows: number): Chunk {
  const file = FileId.parse('0123456789ab')
  return { id: chunkIdOf(file, 0), run: RunId.parse('test'), file, range, firstRow, rows, day: null }
}

/** The cells of a row; why there are none, where it cannot be read. */
export function valuesOf(row: ReadRow): ReadRow extends { values: infer V } ? V : unknown {
  return row.kind === 'row' ? row.values : row.detail
}

/** A page of a column, and where it lies. */
export interface StoredPage {
  column: number
  kind: 'dictionary' | 'values'
  headerStart: number
  start: number
  end: number
  /** Rows of the file that have their values in it, counted from 0; all of the row group for a dictionary. */
  firstRow: number
  endRow: number
  groupStart: number
  groupEnd: number
}

/** Of the flat columns of a file that is whole. */
export function pagesOf(file: Buffer): StoredPage[] {
  let before = 0
  return parquetMetadata(file).row_groups.flatMap(({ columns, num_rows }) => {
    const groupStart = before
    const groupEnd = groupStart + Number(num_rows)
    before = groupEnd
    return columns.flatMap(({ meta_data }, column) => {
      const start = Number(meta_data?.dictionary_page_offset || meta_data?.data_page_offset)
      const end = start + Number(meta_data?.total_compressed_size)
      return [...pagesIn(file, { column, start, end, groupStart, groupEnd })]
    })
  })
}

interface ColumnPart {
  column: number
  start: number
  end: number
  groupStart: number
  groupEnd: number
}

function* pagesIn(file: Buffer, { column, start, end, groupStart, groupEnd }: ColumnPart): Generator<StoredPage> {
  const reader = { view: new DataView(file.buffer, file.byteOffset, file.byteLength), offset: start }
  let row = groupStart
  while (reader.offset < end) {
    const headerStart = reader.offset
    const { compressed_page_size, data_page_header, data_page_header_v2 } = parquetHeader(reader)
    const place = {
      column,
      groupStart,
      groupEnd,
      headerStart,
      start: reader.offset,
      end: reader.offset + compressed_page_size,
    }
    const rows = (data_page_header ?? data_page_header_v2)?.num_values
    if (rows === undefined) yield { ...place, kind: 'dictionary', firstRow: groupStart, endRow: groupEnd }
    else yield { ...place, kind: 'values', firstRow: row, endRow: row + rows }
    row += rows ?? 0
    reader.offset = place.end
  }
}
