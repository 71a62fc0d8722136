import { ColumnPages } from './column-pages.ts'
import { FlatColumn } from './flat-column.ts'
import { NestedColumn } from './nested-column.ts'
import { type ParquetColumn, type ParquetFile, pathOf, type RowGroup } from './open-parquet.ts'
import { exactParsers, type ParquetCell } from './value-text.ts'

/**
 * A column in a row group, to be read once and in order. Has as many rows as the footer says, readable or not.
 * Throws only where the file is not readable, or has changed.
 */
export interface ColumnCells {
  skip(rows: number): Promise<void>
  take(rows: number): Promise<ParquetCell[]>
}

// What was fetched for all columns of a row group and is not decoded yet, times four chunks a worker.
const groupBytes = 16 * 1024 * 1024
// For several hundred columns it is more than that.
const minBlockBytes = 64 * 1024
// Over a network, too, a read of that size costs little beside its bytes.
export const maxBlockBytes = 1024 * 1024

export function openColumn(file: ParquetFile, group: RowGroup, column: ParquetColumn): ColumnCells {
  if (column.nested) return new NestedColumn(file, group, column)
  const { name, schemaPath, element, cellOf } = column
  const stored = group.columns.get(pathOf([name]))
  if (!stored) throw new Error(`column ${name} is not in the row group`)
  const { start, end, type, codec } = stored
  const share = Math.floor(groupBytes / file.columns.length)
  const pages = new ColumnPages(file.blob, {
    start,
    end,
    maxBlockBytes: Math.min(maxBlockBytes, Math.max(minBlockBytes, share)),
  })
  const decoder = { pathInSchema: [name], type, element, schemaPath, codec, parsers: exactParsers, utf8: false }
  return new FlatColumn(pages, { decoder, cellOf }, group)
}
