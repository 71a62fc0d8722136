import { grouped } from '../wording.ts'
import type { Claims } from './claims.ts'
import { identityCode, isIdentity } from './codes.ts'
import { at, idText } from './packed-ids.ts'

/** An identity that more ids lay claim to than one person is likely to have: often it is what a program wrote for none. */
export interface CrowdedIdentity {
  ids: number
  /** The first few, canonical decimal. */
  some: readonly string[]
}

// Enough to look one up, and to see whether they are many.
const listedIdentities = 20
const listedIds = 5

/** @param count of all identities @param most ids that one may have. The most crowded first. */
export function crowdedIdentities(claims: Claims, count: number, most: number): CrowdedIdentity[] {
  const { owners, words } = claims
  const counts = new Int32Array(count)
  for (const code of owners) if (isIdentity(code)) counts[identityCode(code)] = at(counts, identityCode(code)) + 1
  const crowded = new Map<number, string[]>()
  for (const [number, ids] of counts.entries()) if (ids > most) crowded.set(number, [])
  if (crowded.size === 0) return []
  for (let claimant = 0; claimant < owners.length; claimant++) {
    const some = isIdentity(at(owners, claimant)) ? crowded.get(identityCode(at(owners, claimant))) : undefined
    if (some && some.length < listedIds) some.push(idText(words, claimant))
  }
  return [...crowded]
    .map(([number, some]) => ({ ids: at(counts, number), some }))
    .toSorted((a, b) => b.ids - a.ids)
    .slice(0, listedIdentities)
}

export function crowdedText({ ids, some }: CrowdedIdentity): string {
  const rest = ids > some.length ? ' …' : ''
  return `${grouped(ids)} user ids have one identity: ${some.join(', ')}${rest}. Is it a person's, or what a program wrote for none? null: in the mapping file names such texts; ids_per_identity says from how many ids on it is told`
}
