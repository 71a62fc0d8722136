import type { FoundRow, Position, ReadRow, Slice, SliceLimits } from '@heapferry/domain'
import type { WantedPlaces } from './wanted-places.ts'

const limits = { rows: 1000, bytes: 1_500_000 }

/**
 * The wanted rows of a file whose cursors count rows.
 * @param jumpRows so many rows are not worth being decoded; they are passed over by reading anew behind them
 */
export async function* rowsByNumber(
  readFrom: (from: Position, limits: SliceLimits) => AsyncIterable<Slice>,
  wanted: WantedPlaces,
  jumpRows = Number.POSITIVE_INFINITY,
): AsyncGenerator<FoundRow> {
  while (wanted.first) {
    const before = wanted.first.row - 1
    let jumps = false
    for await (const { rows, next } of readFrom({ cursor: before, rows: before }, limits)) {
      // Rows of a slice are made as they are asked for: one that holds none of the wanted ones costs nothing.
      if (wanted.first && wanted.first.row <= next) yield* among(rows, wanted)
      yield* wanted.missing(({ row }) => row <= next)
      jumps = wanted.first !== undefined && wanted.first.row - 1 - next > jumpRows
      if (jumps || !wanted.first) break
    }
    if (!jumps) yield* wanted.missing(() => true)
  }
}

function* among(rows: Iterable<ReadRow>, wanted: WantedPlaces): Generator<FoundRow> {
  for (const row of rows) {
    if (wanted.first?.row !== row.place.row || wanted.first.byte !== row.place.byte) continue
    wanted.pass()
    yield { row, text: null }
  }
}
