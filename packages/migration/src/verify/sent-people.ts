import { migratedIds } from '../identities/ids-in-question.ts'
import { firstIn, joinedIds } from '../identities/join-ids.ts'
import { at, findId, wordsOf } from '../identities/packed-ids.ts'
import { PackedRows } from '../identities/packed-rows.ts'
import { type Hash64, hashOf } from './distinct-counter.ts'
import type { Merge } from './sample-merges.ts'

/** One of the hashes of a person's ids: the same for two ids exactly where they are one person. */
export interface PersonHash extends Hash64 {
  /** They have several ids. */
  isMerged: boolean
}

/**
 * Whose an id is after the merges that a run has sent, as PostHog makes persons of them in whatever order they come. Of an
 * id 64 bits of its SHA-256 are kept: that two of 20 million have the same has a chance of 1 in 90,000. A merge
 * takes 24 bytes, and about 70 while all are joined.
 */
export class SentPeople {
  readonly #words: Int32Array
  readonly #firsts: Int32Array

  /** @param merges by the hashes of their two ids; they are used up */
  constructor(merges: PackedRows) {
    this.#words = wordsOf(migratedIds(merges))
    this.#firsts = joinedIds(this.#words, merges)
  }

  personOf(distinctId: string): PersonHash {
    const { low, high } = hashOf(distinctId)
    const place = findId(this.#words, low, high)
    if (place === -1) return { low, high, isMerged: false }
    const first = firstIn(this.#firsts, place)
    return { low: at(this.#words, first * 2), high: at(this.#words, first * 2 + 1), isMerged: true }
  }
}

export function addMerge(merges: PackedRows, { alias, distinctId }: Merge): void {
  const [from, to] = [hashOf(alias), hashOf(distinctId)]
  merges.push(from.low, from.high, to.low, to.high)
}
