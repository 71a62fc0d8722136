import { identityCode, none, together } from './codes.ts'
import type { IdentityFacts } from './identity-facts.ts'
import { at, findId, sortedIds, wordsOf } from './packed-ids.ts'

/** What rows of `users` and identify records say, by user id. */
export interface Claims {
  ids: BigInt64Array
  words: Int32Array
  /** The code of the id's identity, `none` or `several`. */
  owners: Int32Array
  /** The rank of the latest dump with a row of the id, `none` where no dump is known. */
  latest: Int32Array
}

export function settleClaims(facts: IdentityFacts): Claims {
  const ids = claimedIds(facts)
  const words = wordsOf(ids)
  const latest = latestRanks(words, facts)
  const owners = new Int32Array(ids.length).fill(none)
  const claims = { ids, words, owners, latest }
  eachIdentity(facts, claims, (index, identity) => {
    owners[index] = together(at(owners, index), identityCode(identity))
  })
  return claims
}

/** Calls back for every row that has an identity and is not superseded. */
export function eachIdentity(
  facts: IdentityFacts,
  { words, latest }: Pick<Claims, 'words' | 'latest'>,
  take: (index: number, identity: number) => void,
): void {
  for (const block of facts.claims.blocks()) {
    for (let row = 0; row < block.length; row += 4) {
      const identity = at(block, row + 2)
      if (identity === none) continue
      const index = findId(words, at(block, row), at(block, row + 1))
      const rank = at(block, row + 3)
      if (rank < 0 || rank >= at(latest, index)) take(index, identity)
    }
  }
}

/** Ascending ids that have a row in a later dump than the first, and the latest such dump. */
export function supersededIds({ words, latest }: Claims, dumps: readonly number[]) {
  const superseded = idsWhere(words, latest.length, (index) => at(latest, index) > 0)
  const latestDumps = new Float64Array(superseded.length)
  let next = 0
  for (const rank of latest) if (rank > 0) latestDumps[next++] = dumps[rank] ?? 0
  return { superseded, latestDumps }
}

/** Those who have an identity and are not among the ids in question. */
export function namedIds({ words, owners }: Claims, inQuestion: Int32Array): BigInt64Array {
  return idsWhere(
    words,
    owners.length,
    (index) => at(owners, index) !== none && findId(inQuestion, at(words, index * 2), at(words, index * 2 + 1)) === -1,
  )
}

function claimedIds({ claims }: IdentityFacts): BigInt64Array {
  const all = new BigInt64Array(claims.length)
  const words = wordsOf(all)
  let next = 0
  for (const block of claims.blocks()) {
    for (let row = 0; row < block.length; row += 4) {
      words[next++] = at(block, row)
      words[next++] = at(block, row + 1)
    }
  }
  return sortedIds(all)
}

function latestRanks(words: Int32Array, { claims, dumps }: IdentityFacts): Int32Array {
  const latest = new Int32Array(words.length / 2).fill(none)
  if (dumps.length < 2) return latest
  for (const block of claims.blocks()) {
    for (let row = 0; row < block.length; row += 4) {
      const index = findId(words, at(block, row), at(block, row + 1))
      latest[index] = Math.max(at(latest, index), at(block, row + 3))
    }
  }
  return latest
}

/** Counted first: an array that grows would be held twice. */
function idsWhere(words: Int32Array, count: number, isMeant: (index: number) => boolean): BigInt64Array {
  let length = 0
  for (let index = 0; index < count; index++) if (isMeant(index)) length++
  const ids = new BigInt64Array(length)
  const idWords = wordsOf(ids)
  let next = 0
  for (let index = 0; index < count; index++) {
    if (!isMeant(index)) continue
    idWords[next++] = at(words, index * 2)
    idWords[next++] = at(words, index * 2 + 1)
  }
  return ids
}
