import { none, root, several } from './codes.ts'
import { atFirst, firstIn, type Forest } from './join-ids.ts'
import type { OwnIdentities } from './own-identities.ts'
import { at, bitsFor, hasBit, setBit } from './packed-ids.ts'

/** Whom ids belong to and what they are joined to, in the codes of `ResolvedIdentities`. */
export interface Owned {
  owners: Int32Array
  parents: Int32Array
}

/**
 * Uses forest and identities up: where one phase is done with an array the next one writes what it finds, since at ten
 * million migrations each array has forty megabytes or more.
 * @param refused codes of identities that nobody can be called by
 */
export function nameOwners(forest: Forest, identities: OwnIdentities, refused: ReadonlySet<number>): Owned {
  const rooted = chooseRoots(forest, identities, refused)
  return { parents: growTrees(forest, rooted), owners: ownersOf(forest, rooted, identities.own, refused) }
}

/** Every component but those in conflict has one root. */
interface Rooted {
  /** A bit for each id. */
  roots: Uint8Array
  /** Of each component, at its first id: the identity, or the place of the root where there is none that can be used. */
  owners: Int32Array
}

function chooseRoots(
  { firsts, migratedAway }: Forest,
  { own, shared: owners }: OwnIdentities,
  refused: ReadonlySet<number>,
): Rooted {
  const roots = bitsFor(firsts.length)
  // By the first id of a component.
  const done = bitsFor(firsts.length)
  for (let index = 0; index < firsts.length; index++) {
    const first = firstIn(firsts, index)
    if (refused.has(at(owners, first))) owners[first] = none
    const owner = at(owners, first)
    if (owner === several || hasBit(done, first)) continue
    const isRoot = owner === none ? !hasBit(migratedAway, index) : at(own, index) === owner
    if (!isRoot) continue
    setBit(roots, index)
    setBit(done, first)
    if (owner === none) owners[first] = index
  }
  for (let first = 0; first < firsts.length; first++) {
    if (at(firsts, first) >= 0 || at(owners, first) !== none) continue
    // Circles only.
    setBit(roots, first)
    owners[first] = first
  }
  return { roots, owners }
}

/** Takes leaf after leaf off the trees, until of each only the root is left: the one neighbour of a leaf is its parent. */
function growTrees({ firsts, degrees, neighbours }: Forest, { roots, owners }: Rooted): Int32Array {
  for (let index = 0; index < neighbours.length; index++) {
    if (atFirst(owners, firsts, index) === several) continue
    for (let leaf = index; at(degrees, leaf) === 1 && !hasBit(roots, leaf); ) {
      const parent = at(neighbours, leaf)
      degrees[leaf] = 0
      degrees[parent] = at(degrees, parent) - 1
      neighbours[parent] = at(neighbours, parent) ^ leaf
      leaf = parent
    }
  }
  const parents = neighbours
  for (let index = 0; index < parents.length; index++) if (hasBit(roots, index)) parents[index] = root
  return parents
}

/** Each id's own identity gives way to the owner. */
function ownersOf({ firsts }: Forest, rooted: Rooted, owners: Int32Array, refused: ReadonlySet<number>): Int32Array {
  for (let index = 0; index < owners.length; index++) {
    const own = at(owners, index)
    const owner = atFirst(rooted.owners, firsts, index)
    if (owner !== several) owners[index] = owner
    else if (own === none) owners[index] = index
    else if (refused.has(own)) owners[index] = several
  }
  return owners
}
