import { lostCells } from './cells.ts'
import { ColumnPages } from './column-pages.ts'
import { FlatColumn } from './flat-column.ts'
import { NestedColumn } from './nested-column.ts'
import { firstByteOf, type ParquetColumn, type ParquetFile, type RowGroup } from './open-parquet.ts'
import { type Cell, exactParsers } from './value-text.ts'

/**
 * A column in a row group, to be read once and in order. Has as many rows as the footer says, readable or not.
 * Throws only where the file is not readable, or has changed.
 */
export interface ColumnCells {
  skip(rows: number): Promise<void>
  take(rows: number): Promise<Cell[]>
}

// What was fetched for all columns of a row group and is not decoded yet, times four chunks a worker.
const groupBytes = 16 * 1024 * 1024
// For several hundred columns it is more than that.
const minBlockBytes = 64 * 1024
// Over a network, too, a read of that size costs little beside its bytes.
const maxBlockBytes = 1024 * 1024

export function openColumn(file: ParquetFile, group: RowGroup, column: ParquetColumn): ColumnCells {
  if (column.nested) return new NestedColumn(file, group, column)
  const { name, schemaPath, element, cellOf } = column
  const chunk = group.columns.find(({ meta_data }) => meta_data?.path_in_schema.join('\0') === name)
  const stored = chunk?.meta_data
  if (!chunk || !stored) return lostColumn(`its column "${name}" is missing`)
  const start = firstByteOf(chunk)
  const end = start + Number(stored.total_compressed_size)
  if (!(start >= 0 && start <= end && end <= file.blob.version.sizeBytes)) {
    return lostColumn(`its column "${name}" is said to lie at bytes ${start} to ${end}, which it does not have`)
  }
  if (Number(stored.num_values) > group.rows) {
    return lostColumn(`its column "${name}" has ${stored.num_values} values for ${group.rows} rows`)
  }
  const share = Math.floor(groupBytes / file.columns.length)
  const blockBytes = Math.min(maxBlockBytes, Math.max(minBlockBytes, share))
  const { type, codec } = stored
  const decoder = { pathInSchema: [name], type, element, schemaPath, codec, parsers: exactParsers, utf8: false }
  return new FlatColumn(
    new ColumnPages(file.blob, { start, end, maxBlockBytes: blockBytes }),
    { decoder, cellOf },
    group,
  )
}

function lostColumn(detail: string): ColumnCells {
  const cells = lostCells(detail)
  return {
    async skip() {},
    async take(rows) {
      const taken: Cell[] = []
      cells.take(rows, taken)
      return taken
    },
  }
}
