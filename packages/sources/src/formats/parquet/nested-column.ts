import { type AsyncBuffer, parquetRead } from 'hyparquet'
import type { ColumnCells } from './open-column.ts'
import type { ParquetColumn, ParquetFile, RowGroup } from './open-parquet.ts'
import { safeCompressors } from './unpack-page.ts'
import { exactParsers, type ParquetCell } from './value-text.ts'

// Every time costs as much as the whole column, if there is no offset index.
const rowsAtOnce = 10_000

/**
 * A column of lists, maps or records, put together by hyparquet. Heap has none, so it may cost: with an offset index the
 * pages of the rows that are asked for are fetched and decoded, without one all of the column in its row group, again for
 * every 10,000 rows. And hyparquet does not tell which page is damaged: that costs those rows.
 */
export class NestedColumn implements ColumnCells {
  readonly #file: ParquetFile
  readonly #group: RowGroup
  readonly #column: ParquetColumn
  /** Of the row group: rows that are read or skipped. */
  #at = 0
  /** Read, and not yet asked for. */
  #ahead: ParquetCell[] = []

  constructor(file: ParquetFile, group: RowGroup, column: ParquetColumn) {
    this.#file = file
    this.#group = group
    this.#column = column
  }

  async skip(rows: number): Promise<void> {
    const passed = this.#ahead.splice(0, rows).length
    this.#at += rows - passed
  }

  async take(rows: number): Promise<ParquetCell[]> {
    while (this.#ahead.length < rows) {
      const more = Math.min(rowsAtOnce, this.#group.rows - this.#at)
      this.#ahead = this.#ahead.concat(await this.#read(more))
      this.#at += more
    }
    return this.#ahead.splice(0, rows)
  }

  async #read(rows: number): Promise<ParquetCell[]> {
    const { name, cellOf } = this.#column
    const start = this.#group.firstRow + this.#at
    const lost = (why: unknown): ParquetCell => ({
      detail: `rows ${start + 1} to ${start + rows} of its column "${name}" cannot be decoded: ${messageOf(why)}`,
    })
    const values = await valuesOf(this.#file, name, start, start + rows)
    if (values instanceof Error) return Array.from({ length: rows }, () => lost(values))
    return Array.from({ length: rows }, (_, row) => {
      if (!(row in values)) return lost('it has fewer values than rows')
      try {
        return cellOf(values[row])
      } catch (error) {
        return lost(error)
      }
    })
  }
}

function messageOf(why: unknown): string {
  return (why instanceof Error ? why.message : String(why)).slice(0, 150)
}

/** Without the rows that the column does not have; an error where the bytes are to blame, and not the reading of them. */
async function valuesOf(
  { blob, metadata }: ParquetFile,
  column: string,
  rowStart: number,
  rowEnd: number,
): Promise<unknown[] | Error> {
  const failures: unknown[] = []
  const file: AsyncBuffer = {
    byteLength: blob.version.sizeBytes,
    async slice(start, end = blob.version.sizeBytes) {
      if (end > blob.version.sizeBytes) throw new Error(`it is said to go on to byte ${end}`)
      const bytes = Buffer.allocUnsafeSlow(end - start)
      await blob.fill(bytes, start).catch((error: unknown) => {
        failures.push(error)
        throw error
      })
      return bytes.buffer
    },
  }
  const values: unknown[] = []
  try {
    await parquetRead({
      file,
      metadata,
      columns: [column],
      rowStart,
      rowEnd,
      compressors: safeCompressors,
      parsers: exactParsers,
      geoparquet: false,
      utf8: false,
      useOffsetIndex: true,
      onChunk({ columnData, rowStart: first }) {
        for (let at = Math.max(first, rowStart); at < Math.min(first + columnData.length, rowEnd); at++) {
          values[at - rowStart] = columnData[at - first]
        }
      },
    })
    return values
  } catch (error) {
    if (failures.length > 0) throw failures[0]
    return error instanceof Error ? error : new Error(String(error))
  }
}
