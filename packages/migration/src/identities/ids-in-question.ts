import { canonicalId } from '@heapferry/conversion'
import type { Claims } from './claims.ts'
import { identityCode, none, several } from './codes.ts'
import type { IdentityFacts } from './identity-facts.ts'
import type { IdentityTexts } from './identity-texts.ts'
import { at, bitsFor, findId, hasBit, setBit, sortedIds, wordsOf, writeId } from './packed-ids.ts'
import type { PackedRows } from './packed-rows.ts'

/** The ids of `ResolvedIdentities`, and the identities that read like an id that rows have. */
export function idsInQuestion({ migrations, identities, unnamed }: IdentityFacts, claims: Claims) {
  const migrated = migratedIds(migrations)
  const lookalikes = identitiesLikeIds(identities, [wordsOf(migrated), claims.words])
  const doubtful = doubtfulIds(claims, { lookalikes, named: namedByOthers(claims, unnamed) }, wordsOf(migrated))
  // Of its own size: behind `migrated` there is room for every id as often as migrations name it.
  const ids = new BigInt64Array(migrated.length + doubtful.length)
  ids.set(migrated)
  ids.set(doubtful, migrated.length)
  if (doubtful.length > 0) ids.sort()
  return { ids, lookalikes }
}

/**
 * Each id that rows of two ids name, ascending. Part after part of them is gathered, sorted and kept once, so that what lies
 * behind those that are kept is never written to, and takes no memory.
 */
export function migratedIds(migrations: PackedRows): BigInt64Array {
  const all = new BigInt64Array(migrations.length * 2)
  const words = wordsOf(all)
  const { least, width } = partsOf(migrations)
  let kept = 0
  for (let part = 0; part < parts; part++) {
    let next = kept * 2
    for (const block of migrations.blocks()) {
      for (let id = 0; id < block.length; id += 2) {
        const high = at(block, id + 1)
        if (Math.floor((high - least) / width) !== part) continue
        words[next++] = at(block, id)
        words[next++] = high
      }
    }
    kept += sortedIds(all.subarray(kept, next / 2)).length
  }
  return all.subarray(0, kept)
}

const parts = 8

/** How the high words of ids are divided, evenly, as they are nearly random. */
function partsOf(migrations: PackedRows): { least: number; width: number } {
  let least = Number.POSITIVE_INFINITY
  let most = Number.NEGATIVE_INFINITY
  for (const block of migrations.blocks()) {
    for (let id = 0; id < block.length; id += 2) {
      const high = at(block, id + 1)
      least = Math.min(least, high)
      most = Math.max(most, high)
    }
  }
  return { least, width: (most - least + 1) / parts }
}

/** The numbers of the identities that are written as one of these ids is. */
function identitiesLikeIds(identities: IdentityTexts, known: readonly Int32Array[]): Set<number> {
  const lookalikes = new Set<number>()
  const id = new Int32Array(2)
  for (let number = 0; number < identities.count; number++) {
    if (!likeAnId(identities, number, id)) continue
    if (known.some((words) => findId(words, at(id, 0), at(id, 1)) !== -1)) lookalikes.add(number)
  }
  return lookalikes
}

/** Reads an identity that is written as user ids are. */
export function likeAnId(identities: IdentityTexts, number: number, into: Int32Array): boolean {
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

/** A bit for each claimant that has a row of `users` without the identity that others, such as identify records, know. */
function namedByOthers({ words, owners }: Claims, unnamed: PackedRows): Uint8Array {
  const named = bitsFor(owners.length)
  for (const block of unnamed.blocks()) {
    for (let row = 0; row < block.length; row += 2) {
      const claimant = findId(words, at(block, row), at(block, row + 1))
      if (claimant !== -1 && at(owners, claimant) !== none) setBit(named, claimant)
    }
  }
  return named
}

/** Ids that no migration names and whose own row cannot be taken at its word. */
function doubtfulIds(
  { ids, words, owners }: Claims,
  { lookalikes, named }: { lookalikes: ReadonlySet<number>; named: Uint8Array },
  migrated: Int32Array,
): bigint[] {
  const doubtful: bigint[] = []
  for (let index = 0; index < ids.length; index++) {
    const owner = at(owners, index)
    if (owner !== several && !lookalikes.has(identityCode(owner)) && !hasBit(named, index)) continue
    const isMigrated = findId(migrated, at(words, index * 2), at(words, index * 2 + 1)) !== -1
    if (!isMigrated) doubtful.push(ids[index] ?? 0n)
  }
  return doubtful
}
