import { hash } from 'node:crypto'
import { at, writeId } from '../identities/packed-ids.ts'

/** Those of all people whose ids have a hash of this remainder. */
export interface PartOfPeople {
  nth: number
  /** A power of two. */
  of: number
}

export const everybody: PartOfPeople = { nth: 0, of: 1 }

// 260 MB, beside some 450 for who ten million people are.
const usualLimit = 6_000_000

/**
 * Of each person the first row and the last place that were seen, and what their rows of `users` say already: 36 bytes each,
 * and 5 to 11 to find them by. No object or string is held for a person. When there are too many it forgets one half, which
 * is left to be looked at by itself.
 */
export class Touches {
  /** What was forgotten. */
  readonly rest: PartOfPeople[] = []
  #part: PartOfPeople
  readonly #limit: number
  /** Open addressing: number + 1, 0 where a slot is free. At least a quarter of the slots is. */
  #slots = new Int32Array(1 << 12)
  #people = 0
  readonly #ids = new Blocks(Int32Array, 0)
  readonly #firstMs = new Blocks(Float64Array, Number.POSITIVE_INFINITY)
  readonly #firstKeys = new Blocks(Uint32Array, 0)
  readonly #lastMs = new Blocks(Float64Array, Number.NEGATIVE_INFINITY)
  readonly #places = new Blocks(Int32Array, none)
  readonly #said = new Blocks(Int32Array, none)
  readonly #wanted = new Int32Array(2)

  constructor(part = everybody, limit = usualLimit) {
    this.#part = part
    this.#limit = limit
  }

  /**
   * @param person canonical decimal id that stands for the person
   * @returns the person's number, which holds until the next is asked for; -1 for those of another part
   */
  numberOf(person: string): number {
    writeId(person, this.#wanted)
    const [low, high] = [at(this.#wanted, 0), at(this.#wanted, 1)]
    if (!isIn(this.#part, low, high)) return -1
    const slot = this.#slotOf(low, high)
    const known = at(this.#slots, slot)
    if (known > 0) return known - 1
    if (this.#people === this.#limit) {
      this.#halve()
      return this.numberOf(person)
    }
    const number = this.#people++
    this.#ids.set(number * 2, low)
    this.#ids.set(number * 2 + 1, high)
    this.#slots[slot] = this.#people
    if (this.#people * 4 >= this.#slots.length * 3) this.#rehash(this.#slots.length * 2)
    return number
  }

  /**
   * Of rows of one moment that with the smallest key is the first: whatever their order, and whatever the order of files.
   * @param key of the row's content; asked for only where the row may be the first
   */
  see(number: number, timeMs: number, key: () => number): void {
    const firstMs = this.#firstMs.at(number)
    if (timeMs > firstMs) return
    const ofRow = key()
    if (timeMs === firstMs && ofRow >= this.#firstKeys.at(number)) return
    this.#firstMs.set(number, timeMs)
    this.#firstKeys.set(number, ofRow)
  }

  /** Whether the row is the person's first; asked a second time, it is not: rows may be repeated. */
  takeFirst(number: number, timeMs: number, key: () => number): boolean {
    if (timeMs !== this.#firstMs.at(number) || key() !== this.#firstKeys.at(number)) return false
    this.#firstMs.set(number, Number.NaN)
    return true
  }

  /** @param isFirst tells which of two places of one moment is taken */
  seePlace(number: number, timeMs: number, place: number, isFirst: (one: number, other: number) => boolean): void {
    const lastMs = this.#lastMs.at(number)
    if (timeMs < lastMs || (timeMs === lastMs && !isFirst(place, this.#places.at(number)))) return
    this.#lastMs.set(number, timeMs)
    this.#places.set(number, place)
  }

  /** -1 where none was seen. */
  placeOf(number: number): number {
    return this.#places.at(number)
  }

  /** A number for what rows of `users` say of the person, -1 for nothing. */
  saidOf(number: number): number {
    return this.#said.at(number)
  }

  setSaid(number: number, said: number): void {
    this.#said.set(number, said)
  }

  #slotOf(low: number, high: number): number {
    const last = this.#slots.length - 1
    for (let slot = mixed(low, high) & last; ; slot = (slot + 1) & last) {
      const number = at(this.#slots, slot) - 1
      if (number < 0 || (this.#ids.at(number * 2) === low && this.#ids.at(number * 2 + 1) === high)) return slot
    }
  }

  #halve(): void {
    const { nth, of } = this.#part
    this.#part = { nth, of: of * 2 }
    this.rest.push({ nth: nth + of, of: of * 2 })
    const fields = [this.#firstMs, this.#firstKeys, this.#lastMs, this.#places, this.#said]
    let kept = 0
    for (let number = 0; number < this.#people; number++) {
      const [low, high] = [this.#ids.at(number * 2), this.#ids.at(number * 2 + 1)]
      if (!isIn(this.#part, low, high)) continue
      this.#ids.set(kept * 2, low)
      this.#ids.set(kept * 2 + 1, high)
      for (const field of fields) field.move(number, kept)
      kept++
    }
    this.#ids.cut(kept * 2)
    for (const field of fields) field.cut(kept)
    this.#people = kept
    this.#rehash(this.#slots.length)
  }

  #rehash(slots: number): void {
    this.#slots = new Int32Array(slots)
    for (let number = 0; number < this.#people; number++)
      this.#slots[this.#slotOf(this.#ids.at(number * 2), this.#ids.at(number * 2 + 1))] = number + 1
  }
}

const none = -1

/** 32 bits of a row's content: enough to tell the few rows of a person's first moment apart. */
export function rowKey(table: string, content: string): number {
  return Number.parseInt(hash('sha256', `${table}\0${content}`, 'hex').slice(0, 8), 16)
}

function isIn({ nth, of }: PartOfPeople, low: number, high: number): boolean {
  // Other bits than those that choose a slot: a part of all people would else use a part of all slots.
  return ((Math.imul(mixed(low, high), 0xc2b2ae35) >>> 16) & (of - 1)) === nth
}

/** Ids are drawn at random, or counted up. */
function mixed(low: number, high: number): number {
  const both = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b)
  return both ^ (both >>> 15)
}

const blockBits = 16

/** An array that grows by blocks, so that growing copies nothing; a block of which nothing was set takes nothing. */
class Blocks {
  readonly #blocks: (Int32Array | Uint32Array | Float64Array | undefined)[] = []
  readonly #make: () => Int32Array | Uint32Array | Float64Array
  readonly #initial: number

  constructor(Kind: Int32ArrayConstructor | Uint32ArrayConstructor | Float64ArrayConstructor, initial: number) {
    this.#make = () => new Kind(1 << blockBits).fill(initial)
    this.#initial = initial
  }

  at(index: number): number {
    return this.#blocks[index >>> blockBits]?.[index & mask] ?? this.#initial
  }

  set(index: number, value: number): void {
    const block = (this.#blocks[index >>> blockBits] ??= this.#make())
    block[index & mask] = value
  }

  move(from: number, to: number): void {
    const value = this.at(from)
    if (value !== this.at(to)) this.set(to, value)
  }

  /** Leaves only what is below an index. */
  cut(length: number): void {
    this.#blocks[length >>> blockBits]?.fill(this.#initial, length & mask)
    this.#blocks.length = Math.min(this.#blocks.length, (length >>> blockBits) + 1)
  }
}

const mask = (1 << blockBits) - 1
