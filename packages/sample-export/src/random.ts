import { createHash } from 'node:crypto'

export type NonEmpty<T> = readonly [T, ...T[]]

/** Numbers that look drawn and depend only on the seed and the name of the stream. */
export interface Random {
  /** [0, 1) */
  fraction(): number
  /** An integer in [0, limit). */
  below(limit: number): number
  chance(probability: number): boolean
  pick<T>(items: NonEmpty<T>): T
  /** `items` are [weight, value]. */
  pickWeighted<T>(items: NonEmpty<readonly [number, T]>): T
  /** As Heap's clients draw ids: uniform in [0, 2^53), as decimal text. */
  id(): string
}

/**
 * A stream of its own for each person and each visit, so that any of them can be made again without the ones before it:
 * that is what keeps memory flat. The generator is Chris Doty-Humphrey's sfc32.
 */
export function seededRandom(seed: number, stream: string): Random {
  const digest = createHash('sha256').update(`${seed} ${stream}`).digest()
  let a = digest.readUInt32LE(0)
  let b = digest.readUInt32LE(4)
  let c = digest.readUInt32LE(8)
  let counter = 1

  function uint32(): number {
    const sum = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  const fraction = () => uint32() / 2 ** 32
  const below = (limit: number) => Math.floor(fraction() * limit)

  return {
    fraction,
    below,
    chance: (probability) => fraction() < probability,
    pick: (items) => items[below(items.length)] ?? items[0],
    pickWeighted(items) {
      let left = fraction() * items.reduce((sum, [weight]) => sum + weight, 0)
      for (const [weight, value] of items) {
        left -= weight
        if (left < 0) return value
      }
      return items[0][1]
    },
    id: () => String((uint32() >>> 11) * 2 ** 32 + uint32()),
  }
}
