import { hash } from 'node:crypto'
import type { Scratch } from '../scratch.ts'

// As many as make a part of a billion records small enough to be counted in memory: 4 million of 12 bytes.
const parts = 256
const wordsPerRecord = 3
const bufferedRecords = 8_000_000

/**
 * Counts different keys in each of many groups, exactly, in memory that does not grow with them (100 MB, and 100 MB more
 * for the count): records of 12 bytes are spread over parts by their hash, so that equal ones meet in one part, and every
 * part is counted alone.
 *
 * Of a key 64 bits of its SHA-256 are kept. Two of a million keys of one group have the same with a chance of 1 in 37
 * million.
 */
export class DistinctCounter {
  readonly #scratch: Scratch
  readonly #limit: number
  readonly #buffers = Array.from({ length: parts }, () => new GrowingWords())
  #buffered = 0

  constructor(scratch: Scratch, limit = bufferedRecords) {
    this.#scratch = scratch
    this.#limit = limit
  }

  /** True when `spill` is due. Adding goes on all the same: rows come in slices, and few more fit always. */
  get isFull(): boolean {
    return this.#buffered >= this.#limit
  }

  /** @param group 0, 1, 2 and so on */
  add(group: number, key: string): void {
    this.addHash(group, hashOf(key))
  }

  addHash(group: number, { low, high }: Hash64): void {
    this.#buffers[low & (parts - 1)]?.push(group, low, high)
    this.#buffered++
  }

  async spill(): Promise<void> {
    for (const [part, buffer] of this.#buffers.entries()) {
      const words = buffer.take()
      if (words.length > 0)
        await this.#scratch.append(part, new Uint8Array(words.buffer, words.byteOffset, words.byteLength))
    }
    this.#buffered = 0
  }

  /** By group; adding more afterwards is not allowed. */
  async counts(): Promise<number[]> {
    const counts: number[] = []
    for (const [part, buffer] of this.#buffers.entries()) {
      const spilled = wordsIn(await this.#scratch.take(part))
      const rest = buffer.take()
      const records = new Int32Array(spilled.length + rest.length)
      records.set(spilled)
      records.set(rest, spilled.length)
      countDistinct(records, counts)
    }
    return counts
  }
}

/** Two words of a SHA-256. */
export interface Hash64 {
  low: number
  high: number
}

export function hashOf(text: string): Hash64 {
  const digest = hash('sha256', text, 'buffer')
  return { low: digest.readInt32LE(0), high: digest.readInt32LE(4) }
}

/** Adds the number of different records of each group to its count. */
function countDistinct(records: Int32Array, counts: number[]): void {
  const count = records.length / wordsPerRecord
  let size = 16
  while (size < count * 2) size *= 2
  // Open addressing: place of a record + 1, 0 where a slot is free. At least half of the slots are.
  const slots = new Int32Array(size)
  for (let at = 0; at < records.length; at += wordsPerRecord) {
    // All records of a part share the lowest bits of the other word.
    let slot = (records[at + 2] ?? 0) & (size - 1)
    for (let known = slots[slot] ?? 0; ; slot = (slot + 1) & (size - 1), known = slots[slot] ?? 0) {
      if (known === 0) {
        slots[slot] = at + 1
        const group = records[at] ?? 0
        counts[group] = (counts[group] ?? 0) + 1
        break
      }
      if (isSame(records, known - 1, at)) break
    }
  }
}

function isSame(records: Int32Array, a: number, b: number): boolean {
  return records[a] === records[b] && records[a + 1] === records[b + 1] && records[a + 2] === records[b + 2]
}

function wordsIn(bytes: Uint8Array): Int32Array {
  // A copy starts where numbers of four bytes may start.
  return new Int32Array(new Uint8Array(bytes).buffer)
}

class GrowingWords {
  #words = new Int32Array(0)
  #length = 0

  push(first: number, second: number, third: number): void {
    if (this.#length + wordsPerRecord > this.#words.length) {
      const larger = new Int32Array(Math.max(3 * 64, this.#words.length * 2))
      larger.set(this.#words)
      this.#words = larger
    }
    this.#words[this.#length++] = first
    this.#words[this.#length++] = second
    this.#words[this.#length++] = third
  }

  /** Hands the words out and forgets them; those that come next may overwrite them. */
  take(): Int32Array {
    const words = this.#words.subarray(0, this.#length)
    this.#length = 0
    return words
  }
}
