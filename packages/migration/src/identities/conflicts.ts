import { type Claims, eachIdentity } from './claims.ts'
import { conflictCode, none, several } from './codes.ts'
import type { IdentityFacts } from './identity-facts.ts'
import { atFirst, firstIn, type Forest } from './join-ids.ts'
import type { OwnIdentities } from './own-identities.ts'
import { at, findId, idText } from './packed-ids.ts'

/** Ids that have several identities among them although migrations join them, or one id that has several. */
export interface IdentityConflict {
  ids: number
  identities: number
  /** Up to three of the ids that have an identity, canonical decimal. */
  some: readonly string[]
}

/** Two counts, and three ids: enough to look a conflict up in the export. */
export const conflictWords = 5

/**
 * Numbers the conflicts, in the order of their first ids.
 * @returns `conflictWords` for each. Their codes are left with the neighbours of their ids, whose trees nobody needs: a
 *   conflict joins nobody.
 */
export function findConflicts(forest: Forest, own: OwnIdentities, claims: Claims, facts: IdentityFacts): Int32Array {
  const conflictOf = forest.neighbours
  const conflicts = numberConflicts(conflictOf, forest, own)
  if (conflicts.length > 0) countIdentities(conflicts, { conflictOf, forest, own }, claims, facts)
  return conflicts
}

export function conflictAt(conflicts: Int32Array, number: number, words: Int32Array): IdentityConflict {
  const [ids = 0, identities = 0, ...places] = conflicts.subarray(number * conflictWords, (number + 1) * conflictWords)
  return { ids, identities, some: places.filter((place) => place !== none).map((place) => idText(words, place)) }
}

function numberConflicts(conflictOf: Int32Array, { firsts }: Forest, { own, shared }: OwnIdentities): Int32Array {
  const found: number[] = []
  for (let index = 0; index < conflictOf.length; index++) {
    const first = firstIn(firsts, index)
    if (at(shared, first) !== several) continue
    if (index === first) {
      conflictOf[index] = conflictCode(found.length / conflictWords)
      found.push(-at(firsts, index), 0, none, none, none)
    } else {
      conflictOf[index] = at(conflictOf, first)
    }
    if (at(own, index) === none) continue
    const row = conflictCode(at(conflictOf, index)) * conflictWords
    let free = row + 2
    while (free < row + conflictWords && found[free] !== none) free++
    if (free < row + conflictWords) found[free] = index
  }
  return Int32Array.from(found)
}

function countIdentities(
  conflicts: Int32Array,
  { conflictOf, forest, own }: { conflictOf: Int32Array; forest: Forest; own: OwnIdentities },
  claims: Claims,
  facts: IdentityFacts,
): void {
  const { words, firsts } = forest
  // Of conflict and identity one number: what is said several times counts once.
  const said = new Set<number>()
  eachIdentity(facts, claims, (claimant, identity) => {
    const index = findId(words, at(claims.words, claimant * 2), at(claims.words, claimant * 2 + 1))
    if (index === -1 || atFirst(own.shared, firsts, index) !== several) return
    const conflict = conflictCode(at(conflictOf, index))
    const both = conflict * facts.identities.count + identity
    if (said.has(both)) return
    said.add(both)
    conflicts[conflict * conflictWords + 1] = at(conflicts, conflict * conflictWords + 1) + 1
  })
}
