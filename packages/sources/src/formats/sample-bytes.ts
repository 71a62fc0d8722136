import type { ExportFile, FileSample, Range, ReadRow } from '@heapferry/domain'
import type { Blob } from '../places/blob.ts'
import { DamagedContent } from '../unpacking/damaged-content.ts'
import { decompress } from '../unpacking/decompress.ts'
import { type FileFormat, fromFirstRow, type OpenFile } from './file-format.ts'

/** A file whose rows lie one behind the other, and how it is read. */
interface SampledFile {
  file: ExportFile
  opened: OpenFile
  read: FileFormat['read']
  /** Roughly. */
  unpackedBytes: number
  /** Where rows begin is found from anywhere, and not from the beginning alone. */
  isEnterable: boolean
}

/**
 * About so many rows from the beginning, the middle and the end of a file; all from its beginning where nothing else can be
 * reached without what lies before it; every row of a file of less than a megabyte. Reads a few megabytes at most, however
 * large the file is.
 */
export async function sampleBytes(sampled: SampledFile, rows: number): Promise<FileSample> {
  const { file, unpackedBytes, isEnterable } = sampled
  const isPlain = file.compression === 'none' && file.encoding === undefined
  const isReachable = isEnterable && isPlain && unpackedBytes > windowBytes
  const sample = isReachable ? await sampleWindows(sampled, rows) : null
  return sample ?? sampleBeginning(sampled, rows)
}

/** A sample has so many windows, and no more is read from each. */
const windows = 3
const windowBytes = 1024 * 1024

/** Null where no window holds a whole row: blocks of Avro can be larger. */
async function sampleWindows(sampled: SampledFile, rows: number): Promise<FileSample | null> {
  const { firstRowByte, version } = sampled.file
  const bytes = version.sizeBytes - firstRowByte
  const eachBytes = Math.min(windowBytes, Math.floor(bytes / windows))
  const samples: ReadRow[][] = []
  for (let nth = 0; nth < windows; nth++) {
    const start = firstRowByte + Math.floor((nth * (bytes - eachBytes)) / (windows - 1))
    const found = await readRows(sampled, { kind: 'bytes', start, end: start + eachBytes }, rows / windows)
    // A window begins and ends somewhere in a row: what is left of the two is dropped.
    const isCutOff = found.ended && nth < windows - 1
    const wholeRows = isCutOff ? found.rows.slice(0, -1) : found.rows
    samples.push(nth === 0 ? wholeRows : fromFirstReadable(wholeRows.slice(1)))
  }
  const sizes = samples.map(sizesOf)
  const measured = sizes.reduce((sum, size) => sum + size.rows, 0)
  if (measured === 0) return null
  const bytesPerRow = sizes.reduce((sum, size) => sum + size.bytes, 0) / measured
  const each = Math.ceil(rows / windows)
  return { rows: samples.flatMap((sample) => sample.slice(0, each)), bytesPerRow, whole: false }
}

/** A window that begins within a quoted cell of several lines, or a block, has to find to the next row first. */
function fromFirstReadable(rows: readonly ReadRow[]): ReadRow[] {
  const first = rows.findIndex(({ kind }) => kind === 'row')
  return first === -1 ? [] : rows.slice(first)
}

async function sampleBeginning(sampled: SampledFile, rows: number): Promise<FileSample> {
  const { file, opened, unpackedBytes } = sampled
  const wanted = unpackedBytes <= windowBytes ? Number.POSITIVE_INFINITY : rows
  const found = await readRows(sampled, { kind: 'whole' }, wanted)
  if (found.ended && found.rows.length <= wanted) {
    const bytes = file.version.sizeBytes - (file.compression === 'none' ? file.firstRowByte : 0)
    return { rows: found.rows, bytesPerRow: found.rows.length === 0 ? null : bytes / found.rows.length, whole: true }
  }
  const size = sizesOf(found.rows)
  const bytesPerRow =
    size.rows === 0 ? null : (size.bytes / size.rows) * (await packedShare(opened.blob, file)) * encodedShare(file)
  return { rows: found.rows.slice(0, rows), bytesPerRow, whole: false }
}

/**
 * The first rows of a range: so many, and as many more as it takes to tell how large they are. All rows of a block of Avro
 * stand at one place.
 * @returns ended: the range has no more
 */
async function readRows(
  { opened, read }: SampledFile,
  range: Range,
  rows: number,
): Promise<{ rows: ReadRow[]; ended: boolean }> {
  const piece = { range, firstRow: 1 }
  const found: ReadRow[] = []
  for await (const slice of read(opened, { piece, from: fromFirstRow, limits })) {
    for (const row of slice.rows) found.push(row)
    const { rows: measured, bytes } = sizesOf(found)
    if ((found.length > rows && measured > 0) || bytes >= windows * windowBytes || found.length >= mostRows)
      return { rows: found, ended: false }
  }
  return { rows: found, ended: true }
}

const limits = { rows: 200, bytes: windowBytes }
// A block of Avro that is larger is not gone through for its size alone.
const mostRows = 50_000

/** Of all rows but those at the last place, whose end is not known. */
function sizesOf(rows: readonly ReadRow[]): { rows: number; bytes: number } {
  const first = rows[0]?.place.byte ?? 0
  const last = rows.at(-1)?.place.byte ?? 0
  const behind = rows.findLastIndex(({ place }) => place.byte < last)
  return { rows: behind + 1, bytes: last - first }
}

/** How many bytes of UTF-16 go into one of UTF-8, roughly: most text is ASCII. */
function encodedShare({ encoding }: ExportFile): number {
  return encoding === 'utf-16le' || encoding === 'utf-16be' ? 2 : 1
}

/** How much of a packed file goes into a byte of what it holds, at its beginning. 1 for a file that is not packed. */
async function packedShare(blob: Blob, { compression }: ExportFile): Promise<number> {
  if (compression === 'none') return 1
  let read = 0
  const counting: Blob = {
    ...blob,
    fill(target, at) {
      read += target.length
      return blob.fill(target, at)
    },
  }
  let unpacked = 0
  let first: { read: number; unpacked: number } | null = null
  try {
    for await (const block of decompress(counting, compression, { blockBytes: measuredBlockBytes })) {
      unpacked += block.length
      // From the second block on one more is read than is in hand, which counts for nothing.
      first ??= { read: Math.max(read, 2 * measuredBlockBytes), unpacked }
      if (read - first.read >= measuredBytes) return (read - first.read) / (unpacked - first.unpacked)
    }
  } catch (error) {
    // There are no rows behind the damage.
    if (!(error instanceof DamagedContent)) throw error
  }
  return unpacked === 0 ? 1 : blob.version.sizeBytes / unpacked
}

// The share is wrong by a block in eight at most.
const measuredBlockBytes = 64 * 1024
const measuredBytes = 8 * measuredBlockBytes
