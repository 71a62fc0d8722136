import { canonicalId } from '@heapferry/conversion'
import type { Claims } from './claims.ts'
import { identityCode, several } from './codes.ts'
import type { IdentityFacts } from './identity-facts.ts'
import type { IdentityTexts } from './identity-texts.ts'
import { at, findId, sortedIds, wordsOf, writeId } from './packed-ids.ts'
import type { PackedRows } from './packed-rows.ts'

/** The ids of `ResolvedIdentities`, and the identities that read like an id that rows have. */
export function idsInQuestion({ migrations, identities }: IdentityFacts, claims: Claims) {
  const migrated = migratedIds(migrations)
  const lookalikes = identitiesLikeIds(identities, [wordsOf(migrated), claims.words])
  const doubtful = doubtfulIds(claims, lookalikes, wordsOf(migrated))
  // Of its own size: behind `migrated` there is room for every id as often as migrations name it.
  const ids = new BigInt64Array(migrated.length + doubtful.length)
  ids.set(migrated)
  ids.set(doubtful, migrated.length)
  if (doubtful.length > 0) ids.sort()
  return { ids, lookalikes }
}

function migratedIds(migrations: PackedRows): BigInt64Array {
  const all = new BigInt64Array(migrations.length * 2)
  const words = wordsOf(all)
  let next = 0
  for (const block of migrations.blocks()) {
    words.set(block, next)
    next += block.length
  }
  return sortedIds(all)
}

/** The numbers of the identities that are written as one of these ids is. */
function identitiesLikeIds(identities: IdentityTexts, known: readonly Int32Array[]): Set<number> {
  const lookalikes = new Set<number>()
  const id = new Int32Array(2)
  for (let number = 0; number < identities.count; number++) {
    if (!readAsId(identities, number, id)) continue
    if (known.some((words) => findId(words, at(id, 0), at(id, 1)) !== -1)) lookalikes.add(number)
  }
  return lookalikes
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

/** Ids that no migration names and whose own row cannot be taken at its word. */
function doubtfulIds({ ids, words, owners }: Claims, lookalikes: ReadonlySet<number>, migrated: Int32Array): bigint[] {
  const doubtful: bigint[] = []
  for (let index = 0; index < ids.length; index++) {
    const owner = at(owners, index)
    if (owner !== several && !lookalikes.has(identityCode(owner))) continue
    const isMigrated = findId(migrated, at(words, index * 2), at(words, index * 2 + 1)) !== -1
    if (!isMigrated) doubtful.push(ids[index] ?? 0n)
  }
  return doubtful
}
