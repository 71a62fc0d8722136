import type { Source } from '@heapferry/domain'
import { checksumOf } from './checksum-of.ts'
import { cutFile, fileReader } from './files.ts'
import { openPlace, type Place, type S3Options } from './place.ts'
import { readWhole } from './read-whole.ts'
import { rowOfText, rowReader } from './row-reader.ts'
import { countRows, sampleFile } from './sample-file.ts'

/** The export at a folder, or at a prefix of a bucket, whose files are known. */
export async function openSource(root: string, s3: S3Options): Promise<Source> {
  return sourceAt(await openPlace(root, s3))
}

/** The same for a place that is open; closing one closes the other. */
export function sourceAt(place: Place): Source {
  return {
    cut: (file, chunkBytes) => cutFile(place, file, chunkBytes),
    read: fileReader(place).read,
    readAll: (file, limits = wholeSlices) => readWhole(place, file, limits),
    rowsAt: rowReader(place).rowsAt,
    rowOfText,
    sample: (file, rows) => sampleFile(place, file, rows),
    countRows: (file, maxBytes) => countRows(place, file, maxBytes),
    checksum: (file) => checksumOf(place, file),
    close: () => place.close(),
  }
}

// Nothing is sent of them, so they may be large.
const wholeSlices = { rows: 10_000, bytes: 4 * 1024 * 1024 }
