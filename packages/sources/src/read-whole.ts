import { chunkIdOf, type ExportFile, RunId, type Slice, type SliceLimits } from '@heapferry/domain'
import { cutFile, fileReader } from './files.ts'
import type { Place } from './places/open-place.ts'

/** All rows of a file, in order, without a run: for looking at an export, and for what needs whole tables. */
export async function* readWhole(place: Place, file: ExportFile, limits: SliceLimits): AsyncGenerator<Slice> {
  const reader = fileReader(place)
  const run = RunId.parse('whole')
  switch (file.format.kind) {
    case 'parquet':
      // Its chunks are listed in the footer, so cutting costs next to nothing.
      for await (const { range, firstRow, rows } of cutFile(place, file, Number.POSITIVE_INFINITY)) {
        const chunk = { id: chunkIdOf(file.id, 0), run, file: file.id, range, firstRow, rows, day: null }
        yield* reader.read(file, chunk, { cursor: 0, rows: 0 }, limits)
      }
      return
    case 'csv':
    case 'json_lines':
    case 'json_array':
    case 'avro': {
      const range = { kind: 'whole' } as const
      const chunk = { id: chunkIdOf(file.id, 0), run, file: file.id, range, firstRow: 1, rows: 0, day: null }
      yield* reader.read(file, chunk, { cursor: 0, rows: 0 }, limits)
    }
  }
}
