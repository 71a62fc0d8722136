import { type Claims, namedIds, settleClaims } from './claims.ts'
import { identityCode, isIdentity, none, several } from './codes.ts'
import type { IdentityFacts } from './identity-facts.ts'
import type { IdentityTexts } from './identity-texts.ts'
import { idsInQuestion, likeAnId } from './ids-in-question.ts'
import { at, findId, idText, wordsOf, writeId } from './packed-ids.ts'
import { decide } from './resolve-identities.ts'

/** Whose ids are: all ids, those included that no row about people names. Ids are canonical decimal. */
export interface People {
  /** One of the person's ids, which stands for them: the same for two ids exactly where they are one person. */
  personOf(userId: string): string
  /** What the person is called in PostHog: their identity, hashed where the mapping says so, or the id that stands for them. */
  distinctIdOf(userId: string): string
  /** Whether the export says anything of the id, as `Identities.isKnown` does. */
  isKnown(userId: string): boolean
}

/**
 * Who is who, as `resolveIdentities` decides it, for whoever has to ask of any id: no worker does.
 *
 * It takes 12 bytes for each id that migrations name or that has an identity, and 8 for each identity and its text: ten
 * million people of one id each, whose identities are addresses of 25 bytes, take 450 MB. The facts are used up.
 */
export function peopleOf(facts: IdentityFacts): People {
  const claims = settleClaims(facts)
  const { ids, lookalikes } = idsInQuestion(facts, claims)
  const words = wordsOf(ids)
  const { owners } = decide(words, lookalikes, claims, facts)
  const namedWords = wordsOf(namedIds(claims, words))
  const namedOwners = ownersOf(namedWords, claims)
  const texts = facts.identities
  const firsts = firstIds(texts.count, owners, namedOwners)
  return lookUp({ words, owners, namedWords, namedOwners, firsts, texts, like: idsLikeIdentities(texts, firsts) })
}

interface PackedPeople {
  /** Ascending ids that are in question, and the codes of their owners. */
  words: Int32Array
  owners: Int32Array
  /** Ascending ids that are not and have an identity, and its code. */
  namedWords: Int32Array
  namedOwners: Int32Array
  /** Of each identity the id that stands for whom it names: a place among the ones, or the code of one among the others. */
  firsts: Int32Array
  texts: IdentityTexts
  /** Ascending ids that are written as an identity is, and its code: of those that only events have it tells whose they are. */
  like: { words: Int32Array; owners: Int32Array }
}

function lookUp({ words, owners, namedWords, namedOwners, firsts, texts, like }: PackedPeople): People {
  const wanted = new Int32Array(2)
  const find = (among: Int32Array): number => findId(among, at(wanted, 0), at(wanted, 1))

  /** The code of an identity, the place of the id that is the person, or `several` for an id that is a person alone. */
  function ownerOf(userId: string): number {
    writeId(userId, wanted)
    const place = find(words)
    if (place !== -1) return at(owners, place)
    const named = find(namedWords)
    if (named !== -1) return at(namedOwners, named)
    const alike = find(like.words)
    return alike === -1 ? several : at(like.owners, alike)
  }

  return {
    personOf(userId) {
      const owner = ownerOf(userId)
      if (owner >= 0) return idText(words, owner)
      if (!isIdentity(owner)) return userId
      const first = at(firsts, identityCode(owner))
      return first >= 0 ? idText(words, first) : idText(namedWords, namedCode(first))
    },
    distinctIdOf(userId) {
      const owner = ownerOf(userId)
      if (owner >= 0) return idText(words, owner)
      return isIdentity(owner) ? texts.text(identityCode(owner)) : userId
    },
    isKnown(userId) {
      writeId(userId, wanted)
      return find(words) !== -1 || find(namedWords) !== -1
    },
  }
}

/** Turns the place of a named id into its code, and back: below `none`. */
function namedCode(placeOrCode: number): number {
  return -2 - placeOrCode
}

/** What those who all have one identity are owned by: both are in ascending order. */
function ownersOf(named: Int32Array, claims: Claims): Int32Array {
  const owners = new Int32Array(named.length / 2)
  let claimant = 0
  for (let place = 0; place < owners.length; place++) {
    const isOther = (word: 0 | 1): boolean => at(claims.words, claimant * 2 + word) !== at(named, place * 2 + word)
    while (isOther(0) || isOther(1)) claimant++
    owners[place] = at(claims.owners, claimant)
  }
  return owners
}

function firstIds(identities: number, owners: Int32Array, namedOwners: Int32Array): Int32Array {
  const firsts = new Int32Array(identities).fill(none)
  const take = (owner: number, first: number): void => {
    if (isIdentity(owner) && at(firsts, identityCode(owner)) === none) firsts[identityCode(owner)] = first
  }
  for (let place = 0; place < owners.length; place++) take(at(owners, place), place)
  for (let place = 0; place < namedOwners.length; place++) take(at(namedOwners, place), namedCode(place))
  return firsts
}

/** PostHog knows one distinct_id. Nobody is called by an identity that is the id of somebody else. */
function idsLikeIdentities(texts: IdentityTexts, firsts: Int32Array): PackedPeople['like'] {
  const id = new Int32Array(2)
  const isLike = (number: number): boolean => at(firsts, number) !== none && likeAnId(texts, number, id)
  let count = 0
  for (let number = 0; number < texts.count; number++) if (isLike(number)) count++
  const ids = new BigInt64Array(count)
  const words = wordsOf(ids)
  let next = 0
  for (let number = 0; number < texts.count; number++) if (isLike(number)) words.set(id, next++ * 2)
  ids.sort()
  const owners = new Int32Array(count)
  for (let number = 0; number < texts.count; number++)
    if (isLike(number)) owners[findId(words, at(id, 0), at(id, 1))] = identityCode(number)
  return { words, owners }
}
