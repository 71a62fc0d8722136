import type { ExportFile, Source } from '@heapferry/domain'
import { fromFirstRow, type OpenFile, wholeFile } from './formats/file-format.ts'
import { formatOf } from './formats/formats.ts'
import { WantedPlaces } from './formats/wanted-places.ts'
import { begun, type Blob, beginningBytes } from './places/blob.ts'
import { checksumOf } from './places/checksum-of.ts'
import type { ExportPlace } from './places/open-place.ts'
import { contentOf } from './unpacking/content.ts'
import { withPath } from './unusable-file.ts'

/**
 * The export at a place that is open, whose files are known; closing one closes the other.
 * @param workStore where files lie that heapferry has made for a run, for those who may read such
 */
export function sourceAt(place: ExportPlace, workStore?: ExportPlace): Source {
  const places = { place, workStore }
  const read: Source['read'] = (file, piece, from, limits) =>
    streamed(places, file, (open) => formatOf(file).read(open, { piece, from, limits }))
  return {
    cut: (file, chunkBytes) => streamed(places, file, (open) => formatOf(file).cut(open, chunkBytes)),
    read,
    readAll: (file, limits = wholeSlices) => read(file, wholeFile, fromFirstRow, limits),
    rowsAt: (file, wanted) => streamed(places, file, (open) => formatOf(file).rowsAt(open, new WantedPlaces(wanted))),
    async rowOfText(file, text, at) {
      const { rowOfText } = formatOf(file)
      if (rowOfText) return rowOfText(text, at)
      const detail = `${file.path} is no text: fill in the columns of the row instead`
      return { kind: 'unreadable', place: at, reason: 'not_decodable', detail }
    },
    sample: (file, rows) => opened(places, file, (open) => formatOf(file).sample(open, rows)),
    countRows: (file, maxBytes) => opened(places, file, (open) => formatOf(file).countRows(open, maxBytes)),
    checksum: (file) => checksumOf(placeOf(file, places), file),
    close() {
      place.close()
      workStore?.close()
    },
  }
}

// Nothing is sent of them, so they may be large.
const wholeSlices = { rows: 10_000, bytes: 4 * 1024 * 1024 }

interface Places {
  place: ExportPlace
  workStore: ExportPlace | undefined
}

function placeOf(file: ExportFile, { place, workStore }: Places): ExportPlace {
  if (file.in === undefined) return place
  if (workStore === undefined) throw new Error(`${file.path} lies in the work store, which is not at hand`)
  return workStore
}

/** One request fetches a small file, wherever its reader begins and however often. */
async function blobOf(file: ExportFile, places: Places): Promise<Blob> {
  const blob = await placeOf(file, places).open(file.path, file.version)
  const { sizeBytes } = file.version
  return sizeBytes === 0 || sizeBytes > beginningBytes ? blob : begun(blob, sizeBytes)
}

async function opened<T>(places: Places, file: ExportFile, use: (open: OpenFile) => Promise<T>): Promise<T> {
  const blob = await blobOf(file, places)
  try {
    return await use({ blob, content: contentOf(blob, file.compression, file.encoding) })
  } catch (error) {
    throw withPath(file.path, error)
  } finally {
    await blob.close()
  }
}

async function* streamed<T>(
  places: Places,
  file: ExportFile,
  use: (open: OpenFile) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  const blob = await blobOf(file, places)
  try {
    yield* use({ blob, content: contentOf(blob, file.compression, file.encoding) })
  } catch (error) {
    throw withPath(file.path, error)
  } finally {
    await blob.close()
  }
}
