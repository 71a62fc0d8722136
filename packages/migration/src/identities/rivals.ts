import type { Claims } from './claims.ts'
import { identityCode, isIdentity, none, several } from './codes.ts'
import { type IdentityFacts, noUser } from './identity-facts.ts'
import { at, bitsFor, findId, hasBit, setBit, wordsOf } from './packed-ids.ts'

/** Ids of `users` that have several rows, or whose person has rows of another id, too: their rows tell which counts. */
export interface Rivals {
  /** Ascending. */
  ids: BigInt64Array
  /** The same number for ids of one person. */
  persons: Int32Array
  /** A bit for each id: whether it is the person's distinct_id, and whether a migration leads away from it. */
  areSelf: Uint8Array
  areAway: Uint8Array
  /** Whether it has several rows. */
  areRepeated: Uint8Array
}

/** Who ids turned out to be. */
interface Owners {
  words: Int32Array
  owners: Int32Array
  migratedAway: Uint8Array
}

/** The key of a person that is one id alone. */
const alone = none
/** Of an id that several people claim: its rows are told apart by nobody. */
const disputed = several

export function findRivals(facts: IdentityFacts, claims: Claims, resolved: Owners): Rivals {
  const { ids, areRepeated } = idsOfUsers(facts)
  const words = wordsOf(ids)
  const keys = new Int32Array(ids.length)
  const idsOfKey = new Uint8Array(facts.identities.count + resolved.owners.length)
  for (let index = 0; index < ids.length; index++) {
    const key = personKey(at(words, index * 2), at(words, index * 2 + 1), claims, resolved, facts.identities.count)
    keys[index] = key
    if (key >= 0) idsOfKey[key] = Math.min(2, (idsOfKey[key] ?? 0) + 1)
  }

  const isRival = (index: number): boolean => {
    const key = at(keys, index)
    return key !== disputed && (hasBit(areRepeated, index) || (key >= 0 && idsOfKey[key] === 2))
  }
  let count = 0
  for (let index = 0; index < ids.length; index++) if (isRival(index)) count++
  const rivals: Rivals = {
    ids: new BigInt64Array(count),
    persons: new Int32Array(count),
    areSelf: bitsFor(count),
    areAway: bitsFor(count),
    areRepeated: bitsFor(count),
  }
  let next = 0
  for (let index = 0; index < ids.length; index++) {
    if (!isRival(index)) continue
    const key = at(keys, index)
    const place = findId(resolved.words, at(words, index * 2), at(words, index * 2 + 1))
    rivals.ids[next] = ids[index] ?? 0n
    rivals.persons[next] = key === alone ? -1 - next : key
    if (key === alone || key === facts.identities.count + place) setBit(rivals.areSelf, next)
    if (place !== -1 && hasBit(resolved.migratedAway, place)) setBit(rivals.areAway, next)
    if (hasBit(areRepeated, index)) setBit(rivals.areRepeated, next)
    next++
  }
  return rivals
}

/** Each id that has a row of `users` once, and a bit where it has several. */
function idsOfUsers({ claims, unnamed }: IdentityFacts): { ids: BigInt64Array; areRepeated: Uint8Array } {
  let named = 0
  for (const block of claims.blocks()) for (let row = 0; row < block.length; row += 4) if (isUser(block, row)) named++
  const all = new BigInt64Array(named + unnamed.length)
  const words = wordsOf(all)
  let next = 0
  for (const block of claims.blocks()) {
    for (let row = 0; row < block.length; row += 4) {
      if (!isUser(block, row)) continue
      words[next++] = at(block, row)
      words[next++] = at(block, row + 1)
    }
  }
  for (const block of unnamed.blocks()) {
    words.set(block, next)
    next += block.length
  }
  all.sort()
  const areRepeated = bitsFor(all.length)
  let kept = 0
  for (let index = 0; index < all.length; index++) {
    if (kept > 0 && all[index] === all[kept - 1]) setBit(areRepeated, kept - 1)
    else all[kept++] = all[index] ?? 0n
  }
  return { ids: all.subarray(0, kept), areRepeated }
}

/** Rows without an identity are among the unnamed ones. */
function isUser(block: Int32Array, row: number): boolean {
  return at(block, row + 2) !== none && at(block, row + 3) !== noUser
}

function personKey(low: number, high: number, claims: Claims, { words, owners }: Owners, identities: number): number {
  const place = findId(words, low, high)
  if (place !== -1) {
    const owner = at(owners, place)
    if (owner === several) return disputed
    return isIdentity(owner) ? identityCode(owner) : identities + owner
  }
  const claim = findId(claims.words, low, high)
  const owner = claim === -1 ? none : at(claims.owners, claim)
  return isIdentity(owner) ? identityCode(owner) : alone
}
