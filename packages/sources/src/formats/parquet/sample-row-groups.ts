import type { FileSample, ReadRow } from '@heapferry/domain'
import { type FileFormat, fromFirstRow, type OpenFile } from '../file-format.ts'
import { rowGroupRanges } from './read-parquet.ts'

const sampledGroups = 3
const limits = { rows: 200, bytes: 1024 * 1024 }

/** About so many rows, from the first, the middle and the last row group. */
export async function sampleRowGroups(opened: OpenFile, read: FileFormat['read'], rows: number): Promise<FileSample> {
  const ranges = await rowGroupRanges(opened.blob)
  const total = ranges.reduce((sum, range) => sum + range.end - range.start, 0)
  const spread = Array.from({ length: sampledGroups }, (_, nth) =>
    Math.floor((nth * (ranges.length - 1)) / (sampledGroups - 1)),
  )
  const chosen = ranges.filter((_, index) => spread.includes(index))
  const each = Math.ceil(rows / chosen.length)
  const sampled: ReadRow[] = []
  for (const range of chosen) {
    const found: ReadRow[] = []
    for await (const slice of read(opened, {
      piece: { range, firstRow: range.start + 1 },
      from: fromFirstRow,
      limits,
    })) {
      found.push(...slice.rows)
      if (found.length >= each) break
    }
    sampled.push(...found.slice(0, each))
  }
  const bytesPerRow = total === 0 ? null : opened.blob.version.sizeBytes / total
  return { rows: sampled, bytesPerRow, whole: sampled.length === total }
}
