import type { Claims } from './claims.ts'
import { identityCode, none, several, together } from './codes.ts'
import type { IdentityTexts } from './identity-texts.ts'
import { atFirst, firstIn, type Forest } from './join-ids.ts'
import { at, bitsFor, compareIds, findId, setBit, writeId } from './packed-ids.ts'

/** What rows say of the ids of a forest, as codes of owners. */
export interface OwnIdentities {
  /** Of each id: its own identity, `none` or `several`. */
  own: Int32Array
  /** Of each component, at its first id: the identity of all who have one, `none` or `several`. */
  shared: Int32Array
  /** How many claimants no migration names, and a bit for each of their identities. */
  loose: { ids: number; identities: Uint8Array }
}

/** @param count of all identities */
export function ownIdentities({ words, firsts }: Forest, claims: Claims, count: number): OwnIdentities {
  const own = new Int32Array(firsts.length).fill(none)
  const loose = { ids: 0, identities: bitsFor(count) }
  let index = 0
  for (let claimant = 0; claimant < claims.ids.length; claimant++) {
    const code = at(claims.owners, claimant)
    if (code === none) continue
    while (index < own.length && compareIds(words, index, claims.words, claimant) < 0) index++
    if (index < own.length && compareIds(words, index, claims.words, claimant) === 0) {
      own[index] = code
    } else {
      loose.ids++
      setBit(loose.identities, identityCode(code))
    }
  }
  return { own, shared: sharedIdentities(own, firsts), loose }
}

function sharedIdentities(own: Int32Array, firsts: Int32Array): Int32Array {
  const shared = new Int32Array(own.length).fill(none)
  for (let index = 0; index < own.length; index++) {
    const first = firstIn(firsts, index)
    shared[first] = together(at(shared, first), at(own, index))
  }
  return shared
}

/** The codes of those lookalikes whose id stands for another identity, or for none. */
export function lookalikesOfOthers(
  lookalikes: ReadonlySet<number>,
  identities: IdentityTexts,
  { words, firsts }: Forest,
  { own, shared }: OwnIdentities,
): Set<number> {
  const others = new Set<number>()
  const id = new Int32Array(2)
  for (const number of lookalikes) {
    writeId(identities.text(number), id)
    const index = findId(words, at(id, 0), at(id, 1))
    // An id that has the identity itself would be in question.
    const ofComponent = index === -1 ? none : atFirst(shared, firsts, index)
    const standsFor = ofComponent === several ? at(own, index) : ofComponent
    if (standsFor !== identityCode(number)) others.add(identityCode(number))
  }
  return others
}
