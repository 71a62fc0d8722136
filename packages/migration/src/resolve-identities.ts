import { canonicalId } from '@heapferry/conversion'
import type { IdentityFacts, PackedRows } from './identity-facts.ts'
import { at, bitsFor, compareIds, findId, hasBit, idText, setBit, sortedIds, wordsOf, writeId } from './identity-ids.ts'
import type { IdentityTexts } from './identity-texts.ts'

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
}

/** Ids that have several identities among them although migrations join them, or one id that has several. */
export interface IdentityConflict {
  ids: number
  identities: number
  /** Up to three of the ids that have an identity, canonical decimal. */
  some: readonly string[]
}

/** Of `parents`: everything else is joined to this id. */
export const root = -1
/** Of `owners`: the id's own rows name several identities, or one that cannot be used. */
export const several = -2
/** Two counts, and three ids: enough to look a conflict up in the export. */
export const conflictWords = 5

const none = -1
// Enough to see what is wrong with an export.
const listedConflicts = 100

/** Turns the number of an identity into its code in `owners`, and back. */
export function identityCode(numberOrCode: number): number {
  return -3 - numberOrCode
}

/** The same for the number of a conflict and `parents`. */
export function conflictCode(numberOrCode: number): number {
  return -2 - numberOrCode
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
 * @param listNamed also lists all other ids that have an identity, eight bytes each
 */
export function resolveIdentities(facts: IdentityFacts, { listNamed }: { listNamed: boolean }): ResolvedIdentities {
  const migrations = facts.migrations.length
  const claims = settleClaims(facts)
  const { ids, lookalikes } = idsInQuestion(facts, claims)
  const { owners, parents, migratedAway, conflicts, loose, sizes } = decide(ids, lookalikes, claims, facts)
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
    named: listNamed ? namedIds(claims, wordsOf(ids)) : new BigInt64Array(0),
    summary: {
      people: countPeople(owners, texts.used, loose.identities),
      ids: ids.length + loose.ids,
      migrations,
      ...sizes,
      conflicts: summaryOf(conflicts, wordsOf(ids)),
    },
  }
}

/** Most of the graph is only needed here, and free again for what follows. */
function decide(ids: BigInt64Array, lookalikes: ReadonlySet<number>, claims: Claims, facts: IdentityFacts) {
  const graph = joinIds(ids, facts.migrations)
  const loose = takeOwnIdentities(graph, claims, facts.identities.count)
  holdIdentities(graph)
  const refused = lookalikesOfOthers(graph, lookalikes, facts.identities)
  const conflicts = findConflicts(graph, claims, facts)
  const roots = chooseRoots(graph, refused)
  growTrees(graph, roots)
  nameOwners(graph, refused)
  const { owners, links: parents, away: migratedAway } = graph
  return { owners, parents, migratedAway, conflicts, loose, sizes: sizesOf(graph) }
}

/** What rows of `users` and identify records say, by user id. */
interface Claims {
  ids: BigInt64Array
  words: Int32Array
  /** The code of the id's identity, `none` or `several`. */
  identities: Int32Array
  /** The rank of the latest dump with a row of the id, `none` where no dump is known. */
  latest: Int32Array
}

function settleClaims(facts: IdentityFacts): Claims {
  const all = new BigInt64Array(facts.claims.length)
  const allWords = wordsOf(all)
  let next = 0
  for (const block of facts.claims.blocks()) {
    for (let row = 0; row < block.length; row += 4) {
      allWords[next++] = at(block, row)
      allWords[next++] = at(block, row + 1)
    }
  }
  const ids = sortedIds(all)
  const words = wordsOf(ids)
  const latest = new Int32Array(ids.length).fill(none)
  if (facts.dumps.length > 1) {
    for (const block of facts.claims.blocks()) {
      for (let row = 0; row < block.length; row += 4) {
        const index = findId(words, at(block, row), at(block, row + 1))
        latest[index] = Math.max(at(latest, index), at(block, row + 3))
      }
    }
  }
  const claims = { ids, words, identities: new Int32Array(ids.length).fill(none), latest }
  eachIdentity(facts, claims, (index, identity) => {
    claims.identities[index] = together(at(claims.identities, index), identityCode(identity))
  })
  return claims
}

/** Calls back for every row that has an identity and is not superseded. */
function eachIdentity(
  facts: IdentityFacts,
  { words, latest }: Claims,
  take: (index: number, identity: number) => void,
): void {
  for (const block of facts.claims.blocks()) {
    for (let row = 0; row < block.length; row += 4) {
      const identity = at(block, row + 2)
      if (identity === none) continue
      const index = findId(words, at(block, row), at(block, row + 1))
      const rank = at(block, row + 3)
      if (rank === none || rank >= at(latest, index)) take(index, identity)
    }
  }
}

function together(known: number, code: number): number {
  if (known === none || known === code) return code
  return code === none ? known : several
}

/** The ids of `ResolvedIdentities`, and the identities that read like an id that rows have. */
function idsInQuestion({ migrations, identities }: IdentityFacts, claims: Claims) {
  const all = new BigInt64Array(migrations.length * 2)
  const allWords = wordsOf(all)
  let next = 0
  for (const block of migrations.blocks()) {
    allWords.set(block, next)
    next += block.length
  }
  const migrated = sortedIds(all)
  const migratedWords = wordsOf(migrated)

  const lookalikes = new Set<number>()
  const id = new Int32Array(2)
  for (let number = 0; number < identities.count; number++) {
    if (!readAsId(identities, number, id)) continue
    const isKnown = [migratedWords, claims.words].some((words) => findId(words, at(id, 0), at(id, 1)) !== -1)
    if (isKnown) lookalikes.add(number)
  }

  const doubtful: bigint[] = []
  for (let index = 0; index < claims.ids.length; index++) {
    const code = at(claims.identities, index)
    if (code !== several && !lookalikes.has(identityCode(code))) continue
    const isMigrated = findId(migratedWords, at(claims.words, index * 2), at(claims.words, index * 2 + 1)) !== -1
    if (!isMigrated) doubtful.push(claims.ids[index] ?? 0n)
  }
  // Of its own size: behind `migrated` there is room for every id as often as migrations name it.
  const ids = new BigInt64Array(migrated.length + doubtful.length)
  ids.set(migrated)
  ids.set(doubtful, migrated.length)
  if (doubtful.length > 0) ids.sort()
  return { ids, lookalikes }
}

/** Reads an identity that is written as user ids are. */
function readAsId(identities: IdentityTexts, number: number, into: Int32Array): boolean {
  const bytes = identities.bytes(number)
  const last = bytes.at(-1) ?? 0
  // Digits at both ends, or it is not worth a string: most identities are e-mail addresses.
  if (bytes.length > 20 || last < zero || last > zero + 9) return false
  const text = identities.text(number)
  const reading = canonicalId(text)
  if (reading.kind !== 'id' || reading.id !== text) return false
  writeId(text, into)
  return true
}

const zero = 48

interface Graph {
  words: Int32Array
  /** Of the first id of a component minus the number of its ids, of every other id the place of the first. */
  up: Int32Array
  /** Number of tree neighbours of each id, and all their places XORed: of a leaf that is its one neighbour. */
  degrees: Int32Array
  links: Int32Array
  away: Uint8Array
  /** In the end the owners of `ResolvedIdentities`; before that the code of each id's own identity, `none` or `several`. */
  owners: Int32Array
  /** For the first id of each component: the code of the identity that is held in it, `none` or `several`. */
  held: Int32Array
}

function joinIds(ids: BigInt64Array, migrations: PackedRows): Graph {
  const words = wordsOf(ids)
  const joined = joinPairs(sortedPairs(words, migrations), ids.length)
  const owners = new Int32Array(ids.length).fill(none)
  const held = new Int32Array(ids.length).fill(none)
  return { words, ...joined, owners, held }
}

/** Components and spanning trees. The pairs are in ascending order, whatever their order in the export was. */
function joinPairs(pairs: Int32Array, count: number) {
  const up = new Int32Array(count).fill(-1)
  const degrees = new Int32Array(count)
  const links = new Int32Array(count)
  const away = bitsFor(count)
  for (let pair = 0; pair < pairs.length; pair += 2) {
    const to = at(pairs, pair)
    const from = at(pairs, pair + 1)
    setBit(away, from)
    const a = firstOf(up, from)
    const b = firstOf(up, to)
    if (a === b) continue
    const first = Math.min(a, b)
    const second = Math.max(a, b)
    up[first] = at(up, first) + at(up, second)
    up[second] = first
    degrees[from] = at(degrees, from) + 1
    degrees[to] = at(degrees, to) + 1
    links[from] = at(links, from) ^ to
    links[to] = at(links, to) ^ from
  }
  // What is above an id comes before it, and so is settled already.
  for (let index = 0; index < up.length; index++) {
    const above = at(up, index)
    if (above >= 0 && at(up, above) >= 0) up[index] = at(up, above)
  }
  return { up, degrees, links, away }
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

/** The first id of a component that is still being joined. Halves the way for who asks next. */
function firstOf(up: Int32Array, index: number): number {
  for (let here = index; ; ) {
    const above = at(up, here)
    if (above < 0) return here
    const beyond = at(up, above)
    if (beyond < 0) return above
    up[here] = beyond
    here = beyond
  }
}

/** The first id of the component of an id. */
function firstIn({ up }: Graph, index: number): number {
  const above = at(up, index)
  return above < 0 ? index : above
}

/** @returns how many claimants no migration names, and a bit for each of their identities */
function takeOwnIdentities(graph: Graph, claims: Claims, identities: number): { ids: number; identities: Uint8Array } {
  const loose = { ids: 0, identities: bitsFor(identities) }
  const count = graph.owners.length
  let index = 0
  for (let claimant = 0; claimant < claims.ids.length; claimant++) {
    const code = at(claims.identities, claimant)
    if (code === none) continue
    while (index < count && compareIds(graph.words, index, claims.words, claimant) < 0) index++
    if (index < count && compareIds(graph.words, index, claims.words, claimant) === 0) {
      graph.owners[index] = code
    } else {
      loose.ids++
      setBit(loose.identities, identityCode(code))
    }
  }
  return loose
}

function holdIdentities(graph: Graph): void {
  for (let index = 0; index < graph.owners.length; index++) {
    const start = firstIn(graph, index)
    graph.held[start] = together(at(graph.held, start), at(graph.owners, index))
  }
}

/** The codes of those lookalikes whose id stands for another identity, or for none. */
function lookalikesOfOthers(graph: Graph, lookalikes: ReadonlySet<number>, identities: IdentityTexts): Set<number> {
  const refused = new Set<number>()
  const id = new Int32Array(2)
  for (const number of lookalikes) {
    writeId(identities.text(number), id)
    const index = findId(graph.words, at(id, 0), at(id, 1))
    // An id that has the identity itself would be in question.
    const held = index === -1 ? none : at(graph.held, firstIn(graph, index))
    const standsFor = held === several ? at(graph.owners, index) : held
    if (standsFor !== identityCode(number)) refused.add(identityCode(number))
  }
  return refused
}

/** Numbers the conflicts, in the order of their first ids, and leaves their codes in the links of their ids. */
function findConflicts(graph: Graph, claims: Claims, facts: IdentityFacts): Int32Array {
  const { links, owners, up } = graph
  const found: number[] = []
  for (let index = 0; index < links.length; index++) {
    const start = firstIn(graph, index)
    if (at(graph.held, start) !== several) continue
    if (index === start) {
      links[index] = conflictCode(found.length / conflictWords)
      found.push(-at(up, index), 0, none, none, none)
    } else {
      links[index] = at(links, start)
    }
    if (at(owners, index) === none) continue
    const row = conflictCode(at(links, index)) * conflictWords
    let free = row + 2
    while (free < row + conflictWords && found[free] !== none) free++
    if (free < row + conflictWords) found[free] = index
  }

  const conflicts = Int32Array.from(found)
  if (found.length === 0) return conflicts
  // Of conflict and identity one number: what is said several times counts once.
  const said = new Set<number>()
  eachIdentity(facts, claims, (claimant, identity) => {
    const index = findId(graph.words, at(claims.words, claimant * 2), at(claims.words, claimant * 2 + 1))
    if (index === -1 || at(graph.held, firstIn(graph, index)) !== several) return
    const conflict = conflictCode(at(links, index))
    const both = conflict * facts.identities.count + identity
    if (said.has(both)) return
    said.add(both)
    conflicts[conflict * conflictWords + 1] = at(conflicts, conflict * conflictWords + 1) + 1
  })
  return conflicts
}

/**
 * Every component but those in conflict gets one root. From here on `held` is the owner of the component: where no
 * identity is, or none that can be used, the place of the root.
 */
function chooseRoots(graph: Graph, refused: ReadonlySet<number>): Uint8Array {
  const { held, owners, away, up } = graph
  const roots = bitsFor(up.length)
  // By the first id of a component.
  const done = bitsFor(up.length)
  for (let index = 0; index < up.length; index++) {
    const start = firstIn(graph, index)
    if (refused.has(at(held, start))) held[start] = none
    const owner = at(held, start)
    if (owner === several || hasBit(done, start)) continue
    const isRoot = owner === none ? !hasBit(away, index) : at(owners, index) === owner
    if (!isRoot) continue
    setBit(roots, index)
    setBit(done, start)
    if (owner === none) held[start] = index
  }
  for (let start = 0; start < up.length; start++) {
    if (at(up, start) >= 0 || at(held, start) !== none) continue
    // Circles only.
    setBit(roots, start)
    held[start] = start
  }
  return roots
}

/** Takes leaf after leaf off the trees, until of each only the root is left: the links are then parents. */
function growTrees(graph: Graph, roots: Uint8Array): void {
  const { degrees, links, held } = graph
  for (let index = 0; index < links.length; index++) {
    if (at(held, firstIn(graph, index)) === several) continue
    for (let leaf = index; at(degrees, leaf) === 1 && !hasBit(roots, leaf); ) {
      const parent = at(links, leaf)
      degrees[leaf] = 0
      degrees[parent] = at(degrees, parent) - 1
      links[parent] = at(links, parent) ^ leaf
      leaf = parent
    }
  }
  for (let index = 0; index < links.length; index++) if (hasBit(roots, index)) links[index] = root
}

function nameOwners(graph: Graph, refused: ReadonlySet<number>): void {
  const { owners, held } = graph
  for (let index = 0; index < owners.length; index++) {
    const own = at(owners, index)
    const owner = at(held, firstIn(graph, index))
    if (owner !== several) owners[index] = owner
    else if (own === none) owners[index] = index
    else if (refused.has(own)) owners[index] = several
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
    if (code >= several) continue
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

function supersededIds({ words, latest }: Claims, dumps: readonly number[]) {
  let count = 0
  for (const rank of latest) if (rank > 0) count++
  const superseded = new BigInt64Array(count)
  const supersededWords = wordsOf(superseded)
  const latestDumps = new Float64Array(count)
  let next = 0
  for (let index = 0; index < latest.length; index++) {
    const rank = at(latest, index)
    if (rank < 1) continue
    supersededWords[next * 2] = at(words, index * 2)
    supersededWords[next * 2 + 1] = at(words, index * 2 + 1)
    latestDumps[next++] = dumps[rank] ?? 0
  }
  return { superseded, latestDumps }
}

/** Those who have an identity and are not among the ids in question. */
function namedIds({ words, identities }: Claims, inQuestion: Int32Array): BigInt64Array {
  const isNamed = (index: number): boolean =>
    at(identities, index) !== none && findId(inQuestion, at(words, index * 2), at(words, index * 2 + 1)) === -1
  let count = 0
  for (let index = 0; index < identities.length; index++) if (isNamed(index)) count++
  const named = new BigInt64Array(count)
  const namedWords = wordsOf(named)
  let next = 0
  for (let index = 0; index < identities.length; index++) {
    if (!isNamed(index)) continue
    namedWords[next++] = at(words, index * 2)
    namedWords[next++] = at(words, index * 2 + 1)
  }
  return named
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

function sizesOf({ up }: Graph): { components: number; largestComponent: number } {
  let components = 0
  let largestComponent = 0
  for (const above of up) {
    if (above > -2) continue
    components++
    largestComponent = Math.max(largestComponent, -above)
  }
  return { components, largestComponent }
}

function summaryOf(conflicts: Int32Array, words: Int32Array): IdentitySummary['conflicts'] {
  const total = conflicts.length / conflictWords
  const numbers = Array.from({ length: Math.min(total, listedConflicts) }, (_, number) => number)
  return { total, first: numbers.map((number) => conflictAt(conflicts, number, words)) }
}

export function conflictAt(conflicts: Int32Array, number: number, words: Int32Array): IdentityConflict {
  const [ids = 0, identities = 0, ...places] = conflicts.subarray(number * conflictWords, (number + 1) * conflictWords)
  return { ids, identities, some: places.filter((place) => place !== none).map((place) => idText(words, place)) }
}
