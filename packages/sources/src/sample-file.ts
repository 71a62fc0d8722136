import {
  type Chunk,
  chunkIdOf,
  type ExportFile,
  type FileSample,
  type Range,
  type ReadRow,
  RunId,
} from '@heapferry/domain'
import type { Blob } from './blob.ts'
import { DamagedContent } from './compression/damaged-content.ts'
import { decompress } from './compression/decompress.ts'
import { cutFile, fileReader } from './files.ts'
import { type RowRange, rowGroupRanges } from './parquet/read-parquet.ts'
import type { Place } from './place.ts'
import { withPath } from './unusable-file.ts'

/**
 * About so many rows from the beginning, the middle and the end of a file; all from its beginning where nothing else can be
 * reached without what lies before it; every row of a file of less than a megabyte. Reads a few megabytes at most, however
 * large the file is.
 *
 * @throws SourceChanged when the file is not the one that was inspected
 */
export async function sampleFile(place: Place, file: ExportFile, rows: number): Promise<FileSample> {
  switch (file.format.kind) {
    case 'csv':
    case 'json_lines':
    case 'avro': {
      const isReachable = file.compression === 'none' && unpackedBytes(file) > windowBytes
      const sample = isReachable ? await sampleWindows(place, file, rows) : null
      return sample ?? sampleBeginning(place, file, rows)
    }
    case 'json_array':
      return sampleBeginning(place, file, rows)
    case 'parquet':
      return sampleRowGroups(place, file, rows)
  }
}

/**
 * How many rows a file has, counted as the producer counts them; null where more than `maxBytes` would have to be read
 * to tell.
 */
export async function countRows(place: Place, file: ExportFile, maxBytes: number): Promise<number | null> {
  let rows = 0
  if (file.format.kind === 'parquet') {
    for (const { start, end } of await rowGroupsOf(place, file)) rows += end - start
    return rows
  }
  if (unpackedBytes(file) > maxBytes) return null
  for await (const cut of cutFile(place, file, countedChunkBytes)) rows += cut.rows
  return rows
}

const countedChunkBytes = 8 * 1024 * 1024

// Text of tables shrinks to about an eighth.
const packedToAnEighth = 8

/** Roughly; Avro packs its blocks. */
function unpackedBytes({ version, compression, format }: ExportFile): number {
  const isPacked = compression !== 'none' || format.kind === 'avro'
  return isPacked ? version.sizeBytes * packedToAnEighth : version.sizeBytes
}

/** A sample has so many windows, and no more is read from each. */
const windows = 3
const windowBytes = 1024 * 1024

/** Null where no window holds a whole row: blocks of Avro can be larger. */
async function sampleWindows(place: Place, file: ExportFile, rows: number): Promise<FileSample | null> {
  const { firstRowByte, version } = file
  const bytes = version.sizeBytes - firstRowByte
  const eachBytes = Math.min(windowBytes, Math.floor(bytes / windows))
  const samples: ReadRow[][] = []
  for (let nth = 0; nth < windows; nth++) {
    const start = firstRowByte + Math.floor((nth * (bytes - eachBytes)) / (windows - 1))
    const found = await readRows(place, file, { kind: 'bytes', start, end: start + eachBytes }, rows / windows)
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

async function sampleBeginning(place: Place, file: ExportFile, rows: number): Promise<FileSample> {
  const wanted = unpackedBytes(file) <= windowBytes ? Number.POSITIVE_INFINITY : rows
  const found = await readRows(place, file, { kind: 'whole' }, wanted)
  if (found.ended && found.rows.length <= wanted) {
    const bytes = file.version.sizeBytes - (file.compression === 'none' ? file.firstRowByte : 0)
    return { rows: found.rows, bytesPerRow: found.rows.length === 0 ? null : bytes / found.rows.length, whole: true }
  }
  const size = sizesOf(found.rows)
  const bytesPerRow = size.rows === 0 ? null : (size.bytes / size.rows) * (await packedShare(place, file))
  return { rows: found.rows.slice(0, rows), bytesPerRow, whole: false }
}

async function sampleRowGroups(place: Place, file: ExportFile, rows: number): Promise<FileSample> {
  const ranges = await rowGroupsOf(place, file)
  const total = ranges.reduce((sum, { start, end }) => sum + end - start, 0)
  const spread = Array.from({ length: windows }, (_, nth) => Math.floor((nth * (ranges.length - 1)) / (windows - 1)))
  const chosen = ranges.filter((_, index) => spread.includes(index))
  const sampled: ReadRow[] = []
  for (const range of chosen) {
    const each = Math.ceil(rows / chosen.length)
    sampled.push(...(await readRows(place, file, range, each)).rows.slice(0, each))
  }
  const bytesPerRow = total === 0 ? null : file.version.sizeBytes / total
  return { rows: sampled, bytesPerRow, whole: sampled.length === total }
}

async function rowGroupsOf(place: Place, { path, version }: ExportFile): Promise<RowRange[]> {
  const blob = await place.open(path, version)
  try {
    return await rowGroupRanges(blob)
  } finally {
    await blob.close()
  }
}

/**
 * The first rows of a range: so many, and as many more as it takes to tell how large they are. All rows of a block of Avro
 * stand at one place.
 * @returns ended: the range has no more
 */
async function readRows(
  place: Place,
  file: ExportFile,
  range: Range,
  rows: number,
): Promise<{ rows: ReadRow[]; ended: boolean }> {
  const run = RunId.parse('sample')
  const chunk: Chunk = { id: chunkIdOf(file.id, 0), run, file: file.id, range, firstRow: 1, rows: 0, day: null }
  const limits = { rows: sliceRows, bytes: windowBytes }
  const found: ReadRow[] = []
  for await (const slice of fileReader(place).read(file, chunk, { cursor: 0, rows: 0 }, limits)) {
    for (const row of slice.rows) found.push(row)
    const { rows: measured, bytes } = sizesOf(found)
    const isMeasured = measured > 0 || file.format.kind === 'parquet'
    if ((found.length > rows && isMeasured) || bytes >= windows * windowBytes || found.length >= mostRows)
      return { rows: found, ended: false }
  }
  return { rows: found, ended: true }
}

const sliceRows = 200
// A block of Avro that is larger is not gone through for its size alone.
const mostRows = 50_000

/** Of all rows but those at the last place, whose end is not known. */
function sizesOf(rows: readonly ReadRow[]): { rows: number; bytes: number } {
  const first = rows[0]?.place.byte ?? 0
  const last = rows.at(-1)?.place.byte ?? 0
  const behind = rows.findLastIndex(({ place }) => place.byte < last)
  return { rows: behind + 1, bytes: last - first }
}

/** How much of a packed file goes into a byte of what it holds, at its beginning. 1 for a file that is not packed. */
async function packedShare(place: Place, { path, version, compression }: ExportFile): Promise<number> {
  if (compression === 'none') return 1
  const blob = await place.open(path, version)
  let read = 0
  const counting: Blob = {
    version,
    fill(target, at) {
      read += target.length
      return blob.fill(target, at)
    },
    close: () => blob.close(),
  }
  let unpacked = 0
  let first: { read: number; unpacked: number } | null = null
  try {
    for await (const block of decompress(counting, compression, { blockBytes: measuredBlockBytes })) {
      unpacked += block.length
      // What is read ahead of the block in hand is the same all the time, and so counts for nothing.
      first ??= { read, unpacked }
      if (read - first.read >= measuredBytes) return (read - first.read) / (unpacked - first.unpacked)
    }
  } catch (error) {
    // There are no rows behind the damage.
    if (!(error instanceof DamagedContent)) throw withPath(path, error)
  } finally {
    await blob.close()
  }
  return unpacked === 0 ? 1 : version.sizeBytes / unpacked
}

// The share is wrong by a block in eight at most.
const measuredBlockBytes = 64 * 1024
const measuredBytes = 8 * measuredBlockBytes
