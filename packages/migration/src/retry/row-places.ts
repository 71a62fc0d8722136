import { type ChunkId, chunkIdOf, FileId, type Place, type RejectedRow, type RowKey } from '@heapferry/domain'

/** Where a row stands, and in which chunk it was read. */
export interface RowPlace extends RowKey, Place {}

/**
 * Places of rows, to be gone through file by file in the order of rows. Three numbers are held of each: a million of them
 * take 24 MB, and twice that while they are sorted.
 */
export class RowPlaces {
  readonly #unsorted = new Map<FileId, number[]>()
  readonly #sorted = new Map<FileId, Float64Array>()

  add({ chunk, row, byte }: RowPlace): void {
    const file = fileOf(chunk)
    const numbers = this.#unsorted.get(file) ?? []
    if (numbers.length === 0) this.#unsorted.set(file, numbers)
    numbers.push(row, byte, indexOf(chunk))
  }

  get files(): FileId[] {
    return [...new Set([...this.#unsorted.keys(), ...this.#sorted.keys()])]
  }

  countOf(file: FileId): number {
    return this.#of(file).length / 3
  }

  *in(file: FileId): Generator<RowPlace> {
    const numbers = this.#of(file)
    for (let at = 0; at < numbers.length; at += 3) yield placeAt(file, numbers, at)
  }

  find(file: FileId, row: number): RowPlace | undefined {
    const numbers = this.#of(file)
    let low = 0
    let high = numbers.length / 3
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((numbers[middle * 3] ?? 0) < row) low = middle + 1
      else high = middle
    }
    return numbers[low * 3] === row ? placeAt(file, numbers, low * 3) : undefined
  }

  #of(file: FileId): Float64Array {
    const unsorted = this.#unsorted.get(file)
    if (unsorted) {
      this.#unsorted.delete(file)
      this.#sorted.set(file, sortedByRow(unsorted))
    }
    return this.#sorted.get(file) ?? new Float64Array(0)
  }
}

/** Which rows are meant; all of those that nothing is said of. */
export interface RowFilter {
  reason?: RejectedRow['reason'] | undefined
  table?: string | undefined
}

export function isMeant(row: RejectedRow, { reason, table }: RowFilter): boolean {
  return (reason === undefined || row.reason === reason) && (table === undefined || row.table === table)
}

export async function placesOf(rows: AsyncIterable<RejectedRow>, filter: RowFilter): Promise<RowPlaces> {
  const places = new RowPlaces()
  for await (const row of rows) if (isMeant(row, filter)) places.add(row)
  return places
}

function sortedByRow(numbers: readonly number[]): Float64Array {
  const order = Uint32Array.from({ length: numbers.length / 3 }, (_, nth) => nth)
  const rowOf = (nth: number): number => numbers[nth * 3] ?? 0
  order.sort((a, b) => rowOf(a) - rowOf(b))
  const sorted = new Float64Array(numbers.length)
  for (const [to, from] of order.entries()) {
    for (let part = 0; part < 3; part++) sorted[to * 3 + part] = numbers[from * 3 + part] ?? 0
  }
  return sorted
}

function placeAt(file: FileId, numbers: Float64Array, at: number): RowPlace {
  const [row = 0, byte = 0, chunk = 0] = numbers.subarray(at, at + 3)
  return { row, byte, chunk: chunkIdOf(file, chunk) }
}

export function fileOf(chunk: ChunkId): FileId {
  return FileId.parse(chunk.slice(0, chunk.indexOf('-')))
}

/** The number of a chunk in its file. */
export function indexOf(chunk: ChunkId): number {
  return Number(chunk.slice(chunk.indexOf('-') + 1))
}
