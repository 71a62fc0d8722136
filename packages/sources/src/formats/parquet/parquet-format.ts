import type { ExportFile } from '@heapferry/domain'
import { type FileFormat, wholeFile } from '../file-format.ts'
import { rowsByNumber } from '../rows-by-number.ts'
import { cutParquet, readParquet, rowGroupRanges } from './read-parquet.ts'
import { sampleRowGroups } from './sample-row-groups.ts'

// Rows are decoded by windows of this size at the most.
const jumpRows = 10_000

export function parquetFormat({ columns }: ExportFile): FileFormat {
  const format: FileFormat = {
    cut: ({ blob }, chunkBytes) => cutParquet(blob, chunkBytes, columns),
    read: ({ blob }, reading) => readParquet(blob, columns, reading),
    rowsAt: (opened, wanted) =>
      rowsByNumber((from, limits) => format.read(opened, { piece: wholeFile, from, limits }), wanted, jumpRows),
    sample: (opened, rows) => sampleRowGroups(opened, format.read, rows),
    // Its footer tells.
    countRows: async ({ blob }) => (await rowGroupRanges(blob)).reduce((sum, { start, end }) => sum + end - start, 0),
    rowOfText: null,
  }
  return format
}
