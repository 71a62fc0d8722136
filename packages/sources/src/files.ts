import type {
  Cut,
  ExportFile,
  FoundRow,
  Place,
  Position,
  ReadRow,
  RowReader,
  Slice,
  SliceLimits,
} from '@heapferry/domain'
import { type FileSample, fromFirstRow, type OpenFile, type Piece, wholeFile } from './formats/file-format.ts'
import { formatOf } from './formats/formats.ts'
import { WantedPlaces } from './formats/wanted-places.ts'
import type { ExportPlace } from './places/open-place.ts'
import { contentOf } from './unpacking/content.ts'
import { withPath } from './unusable-file.ts'

// Every one of these throws SourceChanged when the file is not the one that was inspected.

export function cutFile(place: ExportPlace, file: ExportFile, chunkBytes: number): AsyncGenerator<Cut> {
  return streamed(place, file, (open) => formatOf(file).cut(open, chunkBytes))
}

/** Reads parts of files of a place. */
export interface FileReader {
  read(file: ExportFile, piece: Piece, from: Position, limits: SliceLimits): AsyncGenerator<Slice>
}

export function fileReader(place: ExportPlace): FileReader {
  return {
    read: (file, piece, from, limits) =>
      streamed(place, file, (open) => formatOf(file).read(open, { piece, from, limits })),
  }
}

/** All rows of a file, in order: for looking at an export, and for what needs whole tables. */
export function readWhole(place: ExportPlace, file: ExportFile, limits: SliceLimits): AsyncGenerator<Slice> {
  return fileReader(place).read(file, wholeFile, fromFirstRow, limits)
}

/** Reads rows of a place again, for those that were rejected. */
export function rowReader(place: ExportPlace): RowReader {
  return {
    rowsAt: (file, places): AsyncGenerator<FoundRow> =>
      streamed(place, file, (open) => formatOf(file).rowsAt(open, new WantedPlaces(places))),
  }
}

/** A row of a file from its text, which a person has mended; formats that are not text have none. */
export async function rowOfText(file: ExportFile, text: string, place: Place): Promise<ReadRow> {
  const { rowOfText: read } = formatOf(file)
  if (read) return read(text, place)
  const detail = `${file.path} is no text: fill in the columns of the row instead`
  return { kind: 'unreadable', place, reason: 'not_decodable', detail }
}

/** About so many rows, from all over the file where that can be had for a few megabytes, however large it is. */
export function sampleFile(place: ExportPlace, file: ExportFile, rows: number): Promise<FileSample> {
  return opened(place, file, (open) => formatOf(file).sample(open, rows))
}

/**
 * How many rows a file has, counted as the producer counts them; null where more than `maxBytes` would have to be read
 * to tell.
 */
export function countRows(place: ExportPlace, file: ExportFile, maxBytes: number): Promise<number | null> {
  return opened(place, file, (open) => formatOf(file).countRows(open, maxBytes))
}

async function opened<T>(place: ExportPlace, file: ExportFile, use: (open: OpenFile) => Promise<T>): Promise<T> {
  const blob = await place.open(file.path, file.version)
  try {
    return await use({ blob, content: contentOf(blob, file.compression) })
  } catch (error) {
    throw withPath(file.path, error)
  } finally {
    await blob.close()
  }
}

async function* streamed<T>(
  place: ExportPlace,
  file: ExportFile,
  use: (open: OpenFile) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  const blob = await place.open(file.path, file.version)
  try {
    yield* use({ blob, content: contentOf(blob, file.compression) })
  } catch (error) {
    throw withPath(file.path, error)
  } finally {
    await blob.close()
  }
}
