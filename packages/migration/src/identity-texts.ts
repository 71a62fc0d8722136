/**
 * Identities, each kept once as UTF-8 and known by its number, in the order of coming. A Map of strings takes five times
 * the memory.
 */
export class IdentityTexts {
  #bytes = new Uint8Array(1 << 16)
  #ends = new Uint32Array(1 << 10)
  #count = 0
  /** Open addressing: number + 1, 0 where a slot is free. At least half of the slots are. */
  #slots = new Int32Array(1 << 12)
  readonly #encoder = new TextEncoder()
  readonly #decoder = new TextDecoder()

  get count(): number {
    return this.#count
  }

  numberOf(text: string): number {
    const start = this.#endOf(this.#count - 1)
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    while (this.#bytes.length - start < text.length * 3) this.#bytes = grown(this.#bytes)
    const end = start + this.#encoder.encodeInto(text, this.#bytes.subarray(start)).written
    const slot = this.#slotOf(start, end)
    const known = this.#slots[slot] ?? 0
    if (known > 0) return known - 1

    if (this.#count === this.#ends.length) this.#ends = grown(this.#ends)
    this.#ends[this.#count] = end
    this.#count++
    this.#slots[slot] = this.#count
    if (this.#count * 2 >= this.#slots.length) this.#rehash()
    return this.#count - 1
  }

  text(number: number): string {
    return this.#decoder.decode(this.bytes(number))
  }

  bytes(number: number): Uint8Array {
    return this.#bytes.subarray(this.#endOf(number - 1), this.#endOf(number))
  }

  #endOf(number: number): number {
    return number < 0 ? 0 : (this.#ends[number] ?? 0)
  }

  /** The slot of these bytes, or the free one where they belong. */
  #slotOf(start: number, end: number): number {
    const mask = this.#slots.length - 1
    for (let slot = hash(this.#bytes, start, end) & mask; ; slot = (slot + 1) & mask) {
      const number = (this.#slots[slot] ?? 0) - 1
      if (number < 0 || this.#holds(number, start, end)) return slot
    }
  }

  #holds(number: number, start: number, end: number): boolean {
    const from = this.#endOf(number - 1)
    if (this.#endOf(number) - from !== end - start) return false
    for (let i = 0; i < end - start; i++) if (this.#bytes[from + i] !== this.#bytes[start + i]) return false
    return true
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 2)
    for (let number = 0; number < this.#count; number++) {
      // Looked for by where it stands it is not found yet, so the slot is free.
      this.#slots[this.#slotOf(this.#endOf(number - 1), this.#endOf(number))] = number + 1
    }
  }
}

/** FNV-1a. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  let mixed = 0x811c9dc5
  for (let i = start; i < end; i++) mixed = Math.imul(mixed ^ (bytes[i] ?? 0), 0x01000193)
  // The low bits choose the slot, and FNV mixes them least.
  return mixed ^ (mixed >>> 15)
}

function grown<T extends Uint8Array | Uint32Array>(array: T): T
function grown(array: Uint8Array | Uint32Array): Uint8Array | Uint32Array {
  const larger = array instanceof Uint8Array ? new Uint8Array(array.length * 2) : new Uint32Array(array.length * 2)
  larger.set(array)
  return larger
}
