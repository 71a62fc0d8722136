import {
  type Chunk,
  chunkIdOf,
  type ExportFile,
  type FoundRow,
  type Place as RowPlace,
  type Position,
  type Range,
  type ReadRow,
  RunId,
  type Slice,
  type Source,
} from '@heapferry/domain'
import { contentOf } from './content.ts'
import { cutFile, fileReader, textFormat } from './files.ts'
import type { Place } from './place.ts'
import { readRowText, readTextAt } from './text/read-text-at.ts'
import { WantedPlaces } from './wanted-places.ts'

const limits = { rows: 1000, bytes: 1_500_000 }
// Of Parquet, whose rows are decoded by windows of this size at the most.
const jumpRows = 10_000

/** Reads rows of a place again, for those that were rejected. */
export function rowReader(place: Place): Pick<Source, 'rowsAt'> {
  return {
    async *rowsAt(file, places) {
      const wanted = new WantedPlaces(places)
      switch (file.format.kind) {
        case 'csv':
        case 'json_lines':
        case 'json_array': {
          const blob = await place.open(file.path, file.version)
          try {
            const content = contentOf(blob, file.compression)
            yield* readTextAt(content, textFormat(file.format, file.columns), wanted, file.compression === 'none')
          } finally {
            await blob.close()
          }
          return
        }
        case 'avro':
          yield* readCounted(place, file, { range: { kind: 'whole' }, firstRow: 1 }, wanted)
          return
        case 'parquet':
          // Its row groups are listed at its end, so this reads hardly more than what is wanted.
          for await (const { range, firstRow, rows } of cutFile(place, file, Number.POSITIVE_INFINITY)) {
            const isInside = ({ row }: RowPlace): boolean => row < firstRow + rows
            while (wanted.first && isInside(wanted.first))
              yield* readCounted(place, file, { range, firstRow }, wanted, isInside)
          }
          yield* wanted.missing(() => true)
      }
    },
  }
}

/**
 * The wanted rows of a part of a file whose cursors count rows. Ends before it leaves out more rows than are worth being
 * decoded; without `isInside` only behind the last wanted one.
 */
async function* readCounted(
  place: Place,
  file: ExportFile,
  { range, firstRow }: { range: Range; firstRow: number },
  wanted: WantedPlaces,
  isInside: (place: RowPlace) => boolean = () => true,
): AsyncGenerator<FoundRow> {
  const mayEnd = range.kind === 'rows'
  for await (const { rows, next } of slicesFrom(place, file, { range, firstRow }, wanted.first)) {
    const end = firstRow + next
    // Rows of a slice are made as they are asked for: one that holds none of the wanted ones costs nothing.
    if (wanted.first && wanted.first.row < end) yield* among(rows, wanted)
    yield* wanted.missing(({ row }) => row < end)
    if (!wanted.first || !isInside(wanted.first) || (mayEnd && wanted.first.row - end > jumpRows)) return
  }
  yield* wanted.missing(isInside)
}

function* among(rows: Iterable<ReadRow>, wanted: WantedPlaces): Generator<FoundRow> {
  for (const row of rows) {
    if (wanted.first?.row !== row.place.row || wanted.first.byte !== row.place.byte) continue
    wanted.pass()
    yield { row, text: null }
  }
}

function slicesFrom(
  place: Place,
  file: ExportFile,
  { range, firstRow }: { range: Range; firstRow: number },
  first: RowPlace | undefined,
): AsyncIterable<Slice> {
  const run = RunId.parse('rows')
  const chunk: Chunk = { id: chunkIdOf(file.id, 0), run, file: file.id, range, firstRow, rows: 0, day: null }
  const before = first ? first.row - firstRow : 0
  const from: Position = { cursor: before, rows: before }
  return fileReader(place).read(file, chunk, from, limits)
}

/** A row of a file from its text, which a person has mended; formats that are not text have none. */
export async function rowOfText(file: ExportFile, text: string, place: RowPlace): Promise<ReadRow> {
  switch (file.format.kind) {
    case 'csv':
    case 'json_lines':
    case 'json_array':
      return readRowText(text, textFormat(file.format, file.columns), place)
    case 'avro':
    case 'parquet': {
      const detail = `${file.path} is no text: fill in the columns of the row instead`
      return { kind: 'unreadable', place, reason: 'not_decodable', detail }
    }
  }
}
