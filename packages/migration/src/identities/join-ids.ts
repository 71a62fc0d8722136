import { at, bitsFor, findId, setBit } from './packed-ids.ts'
import type { PackedRows } from './packed-rows.ts'

/** Ids that migrations join, all known by their places: components, and a spanning tree of each. */
export interface Forest {
  words: Int32Array
  /** Of the first id of a component minus the number of its ids, of every other id the place of the first. */
  firsts: Int32Array
  /** Number of tree neighbours of each id, and all their places XORed: of a leaf that is its one neighbour. */
  degrees: Int32Array
  neighbours: Int32Array
  /** A bit for each id: whether a migration leads away from it. */
  migratedAway: Uint8Array
}

/** Uses the migrations up. */
export function joinIds(words: Int32Array, migrations: PackedRows): Forest {
  const count = words.length / 2
  const degrees = new Int32Array(count)
  const neighbours = new Int32Array(count)
  const migratedAway = bitsFor(count)
  const firsts = joinedIds(words, migrations, (from, to, joins) => {
    setBit(migratedAway, from)
    if (!joins) return
    degrees[from] = at(degrees, from) + 1
    degrees[to] = at(degrees, to) + 1
    neighbours[from] = at(neighbours, from) ^ to
    neighbours[to] = at(neighbours, to) ^ from
  })
  return { words, firsts, degrees, neighbours, migratedAway }
}

/**
 * The `firsts` of a forest, for those who need no more. Uses the migrations up.
 * @param onMigration told of each, in ascending order, whatever their order in the export was, and whether it joins two components
 */
export function joinedIds(
  words: Int32Array,
  migrations: PackedRows,
  onMigration: (from: number, to: number, joins: boolean) => void = () => {},
): Int32Array {
  const pairs = sortedPairs(words, migrations)
  const firsts = new Int32Array(words.length / 2).fill(-1)
  for (let pair = 0; pair < pairs.length; pair += 2) {
    const to = at(pairs, pair)
    const from = at(pairs, pair + 1)
    onMigration(from, to, joinComponents(firsts, from, to))
  }
  flatten(firsts)
  return firsts
}

/** The first id of the component of an id. */
export function firstIn(firsts: Int32Array, index: number): number {
  const above = at(firsts, index)
  return above < 0 ? index : above
}

/** What `values` has for the component of an id. */
export function atFirst(values: Int32Array, firsts: Int32Array, index: number): number {
  return at(values, firstIn(firsts, index))
}

export function sizesOf({ firsts }: Forest): { components: number; largestComponent: number } {
  let components = 0
  let largestComponent = 0
  for (const above of firsts) {
    if (above > -2) continue
    components++
    largestComponent = Math.max(largestComponent, -above)
  }
  return { components, largestComponent }
}

/** Places of the two ids of each migration, to before from, ascending by from. */
function sortedPairs(words: Int32Array, migrations: PackedRows): Int32Array {
  const pairs = new BigUint64Array(migrations.length)
  const places = new Int32Array(pairs.buffer)
  let next = 0
  for (const block of migrations.drain()) {
    for (let row = 0; row < block.length; row += 4) {
      places[next + 1] = findId(words, at(block, row), at(block, row + 1))
      places[next] = findId(words, at(block, row + 2), at(block, row + 3))
      next += 2
    }
  }
  pairs.sort()
  return places
}

/** @returns false where they are one already */
function joinComponents(up: Int32Array, from: number, to: number): boolean {
  const a = topOf(up, from)
  const b = topOf(up, to)
  if (a === b) return false
  const first = Math.min(a, b)
  const second = Math.max(a, b)
  up[first] = at(up, first) + at(up, second)
  up[second] = first
  return true
}

/** The first id of a component that is still being joined. Halves the way for who asks next. */
function topOf(up: Int32Array, index: number): number {
  for (let here = index; ; ) {
    const above = at(up, here)
    if (above < 0) return here
    const beyond = at(up, above)
    if (beyond < 0) return above
    up[here] = beyond
    here = beyond
  }
}

/** Leaves every id directly below the first. What is above an id comes before it, and so is settled already. */
function flatten(up: Int32Array): void {
  for (let index = 0; index < up.length; index++) {
    const above = at(up, index)
    if (above >= 0 && at(up, above) >= 0) up[index] = at(up, above)
  }
}
