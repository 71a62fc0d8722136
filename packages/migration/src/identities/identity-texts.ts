/**
 * Identities, each kept once as UTF-8 and known by its number, in the order of coming. A Map of strings takes five times
 * the memory.
 */
export class IdentityTexts {
  /** Each is in one block: it begins where the one before ends, or with the next block where it might not fit. */
  readonly #blocks: Uint8Array[] = []
  /** Counted over all blocks. */
  #ends = new Uint32Array(1 << 10)
  #count = 0
  /** Open addressing: number + 1, 0 where a slot is free. At least half of the slots are. */
  #slots = new Int32Array(1 << 12)
  readonly #encoder = new TextEncoder()
  readonly #decoder = new TextDecoder()

  get count(): number {
    return this.#count
  }

  /** @param text not empty, and no longer than a distinct_id may be */
  numberOf(text: string): number {
    const start = this.#startFor(text)
    const written = this.#encoder.encodeInto(text, this.#block(start).subarray(start % blockBytes)).written
    const slot = this.#slotOf(start, written)
    const known = this.#slots[slot] ?? 0
    if (known > 0) return known - 1

    if (this.#count === this.#ends.length) this.#ends = grown(this.#ends)
    this.#ends[this.#count] = start + written
    this.#count++
    this.#slots[slot] = this.#count
    if (this.#count * 2 >= this.#slots.length) this.#rehash()
    return this.#count - 1
  }

  /** Lets go of what finds numbers: none is asked for any more. */
  close(): void {
    this.#slots = new Int32Array(0)
  }

  text(number: number): string {
    return this.#decoder.decode(this.bytes(number))
  }

  bytes(number: number): Uint8Array {
    const start = this.#startOf(number)
    const from = start % blockBytes
    return this.#block(start).subarray(from, from + this.#endOf(number) - start)
  }

  #block(position: number): Uint8Array {
    const block = this.#blocks[Math.floor(position / blockBytes)]
    if (!block) throw new RangeError(`${position} is in none of ${this.#blocks.length} blocks`)
    return block
  }

  #startOf(number: number): number {
    const end = this.#endOf(number)
    return Math.max(this.#endOf(number - 1), end - 1 - ((end - 1) % blockBytes))
  }

  #endOf(number: number): number {
    return number < 0 ? 0 : (this.#ends[number] ?? 0)
  }

  /** Where the next text goes, in a block with room for it. */
  #startFor(text: string): number {
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    const most = text.length * 3
    if (most > blockBytes) throw new RangeError(`an identity of ${text.length} characters`)
    const end = this.#endOf(this.#count - 1)
    const next = Math.ceil(end / blockBytes) * blockBytes
    const start = next - end < most ? next : end
    if (this.#blocks.length * blockBytes === start) this.#blocks.push(new Uint8Array(blockBytes))
    return start
  }

  /** The slot of these bytes, or the free one where they belong. */
  #slotOf(start: number, length: number): number {
    const mask = this.#slots.length - 1
    const from = start % blockBytes
    for (let slot = hash(this.#block(start), from, from + length) & mask; ; slot = (slot + 1) & mask) {
      const number = (this.#slots[slot] ?? 0) - 1
      if (number < 0 || this.#holds(number, start, length)) return slot
    }
  }

  #holds(number: number, start: number, length: number): boolean {
    const own = this.#startOf(number)
    if (this.#endOf(number) - own !== length) return false
    const ownBlock = this.#block(own)
    const block = this.#block(start)
    for (let i = 0; i < length; i++)
      if (ownBlock[(own % blockBytes) + i] !== block[(start % blockBytes) + i]) return false
    return true
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2)
    for (let number = 0; number < this.#count; number++) {
      const start = this.#startOf(number)
      // Looked for by where it stands it is not found yet, so the slot is free.
      this.#slots[this.#slotOf(start, this.#endOf(number) - start)] = number + 1
    }
  }
}

// Little to waste on a small export.
const blockBytes = 1 << 18

/** FNV-1a. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  let mixed = 0x811c9dc5
  for (let i = start; i < end; i++) mixed = Math.imul(mixed ^ (bytes[i] ?? 0), 0x01000193)
  // The low bits choose the slot, and FNV mixes them least.
  return mixed ^ (mixed >>> 15)
}

function grown(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(array.length * 2)
  larger.set(array)
  return larger
}
