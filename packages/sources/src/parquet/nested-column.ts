import { type AsyncBuffer, parquetRead } from 'hyparquet'
import type { ColumnCells } from './open-column.ts'
import type { ParquetColumn, ParquetFile, RowGroup } from './open-parquet.ts'
import { safeCompressors } from './unpack-page.ts'
import { type Cell, exactParsers } from './value-text.ts'

/**
 * A column of lists, maps or records, put together by hyparquet. Heap has none, so it may cost: with an offset index the
 * pages of the rows that are asked for are fetched and decoded, without one all of the column in its row group, again for
 * every window of rows. And hyparquet cannot tell which page is damaged: that costs the rows of the window.
 */
export class NestedColumn implements ColumnCells {
  readonly #file: ParquetFile
  readonly #group: RowGroup
  readonly #column: ParquetColumn
  #at = 0

  constructor(file: ParquetFile, group: RowGroup, column: ParquetColumn) {
    this.#file = file
    this.#group = group
    this.#column = column
  }

  async skip(rows: number): Promise<void> {
    this.#at += rows
  }

  async take(rows: number): Promise<Cell[]> {
    const { name, cellOf } = this.#column
    const start = this.#group.firstRow + this.#at
    this.#at += rows
    const lost = (why: unknown): Cell => {
      const detail = why instanceof Error ? why.message.slice(0, 150) : String(why)
      return { detail: `rows ${start + 1} to ${start + rows} of its column "${name}" cannot be decoded: ${detail}` }
    }
    const values = await valuesOf(this.#file, name, start, start + rows)
    if (values instanceof Error) return Array(rows).fill(lost(values))
    const short = lost('it has fewer values than rows')
    return Array.from({ length: rows }, (_, row) => {
      if (!(row in values)) return short
      try {
        return cellOf(values[row])
      } catch (error) {
        return lost(error)
      }
    })
  }
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
