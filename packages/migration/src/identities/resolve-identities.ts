import { defaultMapping } from '@heapferry/domain'
import { type Claims, namedIds, settleClaims, supersededIds } from './claims.ts'
import { identityCode, isIdentity, none, several } from './codes.ts'
import { type CrowdedIdentity, crowdedIdentities } from './crowded-identities.ts'
import { conflictAt, conflictWords, findConflicts, type IdentityConflict } from './conflicts.ts'
import { idsInQuestion } from './ids-in-question.ts'
import type { IdentityFacts } from './identity-facts.ts'
import type { IdentityTexts } from './identity-texts.ts'
import { joinIds, sizesOf } from './join-ids.ts'
import { nameOwners } from './name-owners.ts'
import { lookalikesOfOthers, ownIdentities } from './own-identities.ts'
import { at, bitsFor, hasBit, setBit, wordsOf } from './packed-ids.ts'
import { findRivals, type Rivals } from './rivals.ts'

/**
 * Who is who, packed. An id is known by its place in `ids`, which holds those that migrations name, and those whose own
 * row cannot be taken at its word; of all others that row says all there is to know.
 */
export interface ResolvedIdentities {
  /** Ascending. */
  ids: BigInt64Array
  /** To whom each id belongs: the place of the id that is their distinct_id, the code of an identity, or `several`. */
  owners: Int32Array
  /** The place of the id to which a migration joins each id; `root`, or the code of the conflict that the id is in. */
  parents: Int32Array
  /** A bit for each id: whether a migration leads away from it. */
  migratedAway: Uint8Array
  /** UTF-8, one after the other, and where each ends. */
  identities: Uint8Array
  identityEnds: Uint32Array
  /** `conflictWords` for each: number of ids, number of identities, places of ids that have any, -1 where fewer do. */
  conflicts: Int32Array
  /** Ascending ids that have a row of `users` in a later dump than the first, and the latest such dump. */
  superseded: BigInt64Array
  latestDumps: Float64Array
  /** Ascending ids that are not in `ids` and have an identity. Empty unless asked for. */
  named: BigInt64Array
  /** Whose rows are still to be compared. */
  rivals: Rivals
  summary: IdentitySummary
}

/** What an export says of its people, for a plan. */
export interface IdentitySummary {
  /** Whom `ids` turn out to be. */
  people: number
  /** Ids that a migration names, or that have an identity. */
  ids: number
  /** Rows of `user_migrations` that name two ids. */
  migrations: number
  /** Sets of ids that migrations join, those in conflict included. */
  components: number
  /** Number of ids in the largest. */
  largestComponent: number
  conflicts: {
    total: number
    /** At most 100. */
    first: readonly IdentityConflict[]
  }
  /** Identities with many ids, the most crowded first. */
  crowded: readonly CrowdedIdentity[]
}

/**
 * Decides who the ids of an export are, so that each row can be sent alone, in any order, and no merge is refused.
 *
 * Ids that migrations join, in whichever direction, are one person. The distinct_id is the person's identity; where none
 * is known, the id at which the migrations end: the smallest, if they end at several or run in circles. The migrations
 * of a person are thinned out to a tree, of which each joins the id that is farther from the root. The root is the
 * distinct_id itself, or its own row joins it.
 *
 * Where the migrations join several identities they would make one person of two. Those join nobody, and an id belongs to
 * the identity that its own rows agree on.
 *
 * An identity that reads like a user id is that id for PostHog. It is used only where both are the same person.
 *
 * The same facts give the same answer in whatever order they came. The facts are used up: with ten million migrations
 * there is no room for both in a gigabyte.
 *
 * @param idsPerIdentity identities with more are listed
 * @param listNamed also lists all other ids that have an identity, eight bytes each
 */
export function resolveIdentities(
  facts: IdentityFacts,
  { listNamed, idsPerIdentity = defaultMapping.ids_per_identity }: { listNamed: boolean; idsPerIdentity?: number },
): ResolvedIdentities {
  const migrations = facts.migrations.length
  const claims = settleClaims(facts)
  const crowded = crowdedIdentities(claims, facts.identities.count, idsPerIdentity)
  const { ids, lookalikes } = idsInQuestion(facts, claims)
  const words = wordsOf(ids)
  const { owners, parents, migratedAway, conflicts, loose, sizes } = decide(words, lookalikes, claims, facts)
  const rivals = findRivals(facts, claims, { words, owners, migratedAway })
  const texts = packIdentities(owners, facts.identities)
  return {
    ids,
    owners,
    parents,
    migratedAway,
    identities: texts.identities,
    identityEnds: texts.ends,
    conflicts,
    ...supersededIds(claims, facts.dumps),
    named: listNamed ? namedIds(claims, words) : new BigInt64Array(0),
    rivals,
    summary: {
      people: countPeople(owners, texts.used, loose.identities),
      ids: ids.length + loose.ids,
      migrations,
      ...sizes,
      conflicts: conflictSummary(conflicts, words),
      crowded,
    },
  }
}

/** Most of forest and identities is only needed here, and free again for what follows. */
export function decide(words: Int32Array, lookalikes: ReadonlySet<number>, claims: Claims, facts: IdentityFacts) {
  const forest = joinIds(words, facts.migrations)
  const identities = ownIdentities(forest, claims, facts.identities.count)
  const refused = lookalikesOfOthers(lookalikes, facts.identities, forest, identities)
  const conflicts = findConflicts(forest, identities, claims, facts)
  const { owners, parents } = nameOwners(forest, identities, refused)
  return {
    owners,
    parents,
    migratedAway: forest.migratedAway,
    conflicts,
    loose: identities.loose,
    sizes: sizesOf(forest),
  }
}

/** Keeps the identities that owners name, numbered in the order of the ids. */
function packIdentities(owners: Int32Array, identities: IdentityTexts) {
  const newNumbers = new Int32Array(identities.count).fill(none)
  const used = bitsFor(identities.count)
  const kept = new Int32Array(identities.count)
  let count = 0
  let length = 0
  for (let index = 0; index < owners.length; index++) {
    const code = at(owners, index)
    if (!isIdentity(code)) continue
    const number = identityCode(code)
    if (!hasBit(used, number)) {
      setBit(used, number)
      newNumbers[number] = count
      kept[count++] = number
      length += identities.bytes(number).length
    }
    owners[index] = identityCode(at(newNumbers, number))
  }
  const packed = new Uint8Array(length)
  const ends = new Uint32Array(count)
  let end = 0
  for (let number = 0; number < count; number++) {
    const bytes = identities.bytes(at(kept, number))
    packed.set(bytes, end)
    end += bytes.length
    ends[number] = end
  }
  return { identities: packed, ends, used }
}

function countPeople(owners: Int32Array, used: Uint8Array, loose: Uint8Array): number {
  let people = 0
  // Whose identity cannot be used stays a person of their own.
  for (let index = 0; index < owners.length; index++) {
    const owner = at(owners, index)
    if (owner === index || owner === several) people++
  }
  for (const [byte, bits] of used.entries()) {
    for (let all = bits | (loose[byte] ?? 0); all > 0; all &= all - 1) people++
  }
  return people
}

function conflictSummary(conflicts: Int32Array, words: Int32Array): IdentitySummary['conflicts'] {
  const total = conflicts.length / conflictWords
  const numbers = Array.from({ length: Math.min(total, listedConflicts) }, (_, number) => number)
  return { total, first: numbers.map((number) => conflictAt(conflicts, number, words)) }
}

// Enough to see what is wrong with an export.
const listedConflicts = 100
