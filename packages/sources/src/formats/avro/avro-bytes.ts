import { isUtf8 } from 'node:buffer'
import type { DeclaredType } from '@heapferry/domain'

/** Bytes that are not what the schema says: nothing behind them can be read. */
export class Undecodable extends Error {
  override name = 'Undecodable'
}

// A row of which no event could be made: PostHog takes 1 MB of JSON. Without a limit, arrays of nulls, which take no
// bytes, could claim any number of items.
const maxRowItems = 1_000_000
// A schema may contain itself; V8's stack holds some thousand levels.
const maxDepth = 200

/** What the values of a type are to others. */
export type ValueKind = DeclaredType | 'text' | 'nothing'

/** What `toString('utf8')` ends in after it has looked up the encoding, which takes longer than a short text does. */
type BufferOfNode = Buffer & { utf8Slice?(start: number, end: number): string }

/**
 * Values in Avro's binary encoding, one after the other. Never reads past the end, whatever the bytes claim.
 * https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 */
export class AvroBytes {
  at = 0
  /** What is wrong with the row, where its end is known all the same. */
  fault: string | null = null
  /** What the branch is that was read last, of a union of several types. */
  branch: ValueKind = 'text'
  #items = 0
  #depth = 0
  readonly #bytes: BufferOfNode

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.at
  }

  beginRow(): void {
    this.fault = null
    this.#items = 0
    this.#depth = 0
  }

  /** A number where it holds the value exactly. */
  long(): number | bigint {
    const first = this.byte()
    // Most are: lengths, branches of a union.
    if (first < 0x80) return (first >>> 1) ^ -(first & 1)
    let low = first & 0x7f
    let middle = 0
    let high = 0
    let more = true
    for (let shift = 7; more; shift += 7) {
      const byte = this.byte()
      more = byte >= 0x80
      if (shift < 28) low |= (byte & 0x7f) << shift
      else if (shift < 56) middle |= (byte & 0x7f) << (shift - 28)
      else high |= (byte & 0x7f) << (shift - 56)
      if (shift > 63 || high > 0xff) throw new Undecodable('a number has more than 64 bits')
    }
    const isNegative = (low & 1) === 1
    const magnitude = (low >>> 1) + middle * 2 ** 27
    if (high === 0 && magnitude < Number.MAX_SAFE_INTEGER) return isNegative ? -magnitude - 1 : magnitude
    const exact = (BigInt(high) << 55n) + (BigInt(middle) << 27n) + BigInt(low >>> 1)
    return isNegative ? -exact - 1n : exact
  }

  byte(): number {
    const byte = this.#bytes[this.at]
    if (byte === undefined) throw new Undecodable('the data ends inside of a value')
    this.at++
    return byte
  }

  float(): number {
    const at = this.#skip(4)
    return this.#bytes.readFloatLE(at)
  }

  double(): number {
    const at = this.#skip(8)
    return this.#bytes.readDoubleLE(at)
  }

  string(): string {
    const length = this.#length()
    const at = this.#skip(length)
    const text = this.#bytes.utf8Slice?.(at, this.at) ?? this.#bytes.toString('utf8', at, this.at)
    if (text.includes('\uFFFD') && !isUtf8(this.#bytes.subarray(at, this.at))) this.fault = 'a text is not valid UTF-8'
    return text
  }

  bytes(): Buffer {
    return this.fixed(this.#length())
  }

  fixed(length: number): Buffer {
    const at = this.#skip(length)
    return this.#bytes.subarray(at, this.at)
  }

  /** The items of an array or a map. */
  items(item: () => string): string[] {
    const items: string[] = []
    for (;;) {
      const count = Number(this.long())
      if (count === 0) return items
      if (count < 0) this.long() // how many bytes they take, for those who skip them.
      for (let left = Math.abs(count); left > 0; left--) {
        if (++this.#items > maxRowItems) throw new Undecodable(`a row has more than ${maxRowItems} items`)
        items.push(item())
      }
    }
  }

  /** One level deeper. */
  nested(read: () => string): string {
    if (++this.#depth > maxDepth) throw new Undecodable(`values lie more than ${maxDepth} deep in each other`)
    const text = read()
    this.#depth--
    return text
  }

  #length(): number {
    const length = this.long()
    if (length < 0) throw new Undecodable('a length is negative')
    return Number(length)
  }

  #skip(length: number): number {
    const at = this.at
    if (length > this.#bytes.length - at) throw new Undecodable('the data ends inside of a value')
    this.at += length
    return at
  }
}
