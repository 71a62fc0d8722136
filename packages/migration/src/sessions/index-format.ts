import { Buffer } from 'node:buffer'
import { hash } from 'node:crypto'
import type { Values } from '@heapferry/domain'
import { z } from 'zod'

/**
 * Records of an index as they lie in its blocks and, while it is made, in scratch:
 *
 *     key      8 bytes  of the SHA-256 of the session's name
 *     at       6 bytes  0 for the session itself; of a pageview its time + 1, in milliseconds since 1970
 *     length   4 bytes  of what follows
 *     start    8 bytes  of a session: when it began, NaN where that is not known
 *     cells             number of the column (1 byte), length (4 bytes), UTF-8; columns that the file lacks are left out
 *
 * Sorted by key and time, then by all their bytes, so that the same rows give the same bytes in whatever order they come.
 * Two of 100 million sessions have one key with a chance of 1 in 3,700.
 */
const recordHeaderBytes = 18
const startBytes = 8
const cellHeaderBytes = 5

export interface SessionKey {
  high: number
  low: number
}

export function keyOf(name: string): SessionKey {
  const digest = hash('sha256', name, 'buffer')
  return { high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) }
}

/** `at` of a session itself; all pageviews come behind it. */
export const atOfSession = 0

export function atOfPage(timeMs: number): number {
  return timeMs + 1
}

/** Records one after the other, in memory that grows as they need it. */
export class Records {
  #bytes = Buffer.alloc(0)
  #length = 0

  /** @param startMs of a session; null where it is not known; undefined of a pageview @returns how many bytes it takes */
  add(key: SessionKey, at: number, startMs: number | null | undefined, cells: Values): number {
    // A UTF-16 unit takes three bytes at most.
    let most = recordHeaderBytes + startBytes
    for (const cell of cells) if (cell !== null) most += cellHeaderBytes + cell.length * 3
    this.#makeRoom(most)
    const record = this.#bytes
    const from = this.#length
    record.writeUInt32BE(key.high, from)
    record.writeUInt32BE(key.low, from + 4)
    record.writeUIntBE(at, from + 8, 6)
    let to = from + recordHeaderBytes
    if (startMs !== undefined) to = record.writeDoubleBE(startMs ?? Number.NaN, to)
    for (let column = 0; column < cells.length; column++) {
      const cell = cells[column] ?? null
      if (cell === null) continue
      const written = cell === '' ? 0 : record.write(cell, to + cellHeaderBytes)
      record.writeUInt8(column, to)
      record.writeUInt32BE(written, to + 1)
      to += cellHeaderBytes + written
    }
    record.writeUInt32BE(to - from - recordHeaderBytes, from + 14)
    this.#length = to
    return to - from
  }

  /** Hands the records out and forgets them; those that come next may overwrite them. */
  take(): Buffer {
    const records = this.#bytes.subarray(0, this.#length)
    this.#length = 0
    return records
  }

  #makeRoom(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(4096, this.#length + bytes, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** How many bytes the record takes that begins at an offset. */
export function recordBytes(records: Buffer, from: number): number {
  return recordHeaderBytes + records.readUInt32BE(from + 14)
}

export function recordKey(records: Buffer, from: number): SessionKey {
  return { high: records.readUInt32BE(from), low: records.readUInt32BE(from + 4) }
}

export function recordAt(records: Buffer, from: number): number {
  return records.readUIntBE(from + 8, 6)
}

/** Of the record of a session. */
export function recordStart(records: Buffer, from: number): number | null {
  const startMs = records.readDoubleBE(from + recordHeaderBytes)
  return Number.isNaN(startMs) ? null : startMs
}

export function setRecordStart(records: Buffer, from: number, startMs: number): void {
  records.writeDoubleBE(startMs, from + recordHeaderBytes)
}

/** @param columns how many there are */
export function recordCells(records: Buffer, from: number, columns: number): Values {
  const cells: (string | null)[] = Array.from({ length: columns }, () => null)
  const end = from + recordBytes(records, from)
  let at = from + recordHeaderBytes + (recordAt(records, from) === atOfSession ? startBytes : 0)
  while (at < end) {
    const column = records.readUInt8(at)
    const bytes = records.readUInt32BE(at + 1)
    at += cellHeaderBytes
    cells[column] = records.toString('utf8', at, at + bytes)
    at += bytes
  }
  return cells
}

export function compareKeys(a: SessionKey, b: SessionKey): number {
  return a.high - b.high || a.low - b.low
}

/**
 * What is read whole before any block is: which blocks there are. `blocks` has, for each, in the files' order, the key and
 * `at` of its first record, and how many bytes it takes packed.
 */
export const IndexHead = z.object({
  format: z.literal(1),
  /** SHA-256 of all blocks, unpacked, in hex. */
  content: z.string(),
  hasSessions: z.boolean(),
  sessions: z.number().int(),
  pages: z.number().int(),
  /** How many blocks each file has. */
  files: z.array(z.number().int()),
})
export type IndexHead = z.infer<typeof IndexHead>

export interface IndexBlock {
  high: number
  low: number
  at: number
  packedBytes: number
}

const blockEntryBytes = 18

/** What a head says of blocks, 18 bytes each: there may be millions, and as objects they would take ten times that. */
export function encodeBlocks(blocks: readonly IndexBlock[]): Buffer {
  const entries = Buffer.alloc(blocks.length * blockEntryBytes)
  for (const [index, { high, low, at, packedBytes }] of blocks.entries()) {
    const to = index * blockEntryBytes
    entries.writeUInt32BE(high, to)
    entries.writeUInt32BE(low, to + 4)
    entries.writeUIntBE(at, to + 8, 6)
    entries.writeUInt32BE(packedBytes, to + 14)
  }
  return entries
}

/** @param blocks of `encodeBlocks`, in the order of the blocks */
export function encodeHead(head: IndexHead, blocks: readonly Buffer[]): Buffer[] {
  const json = Buffer.from(JSON.stringify(head))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  return [length, json, ...blocks]
}

export function decodeHead(bytes: Uint8Array): { head: IndexHead; blocks: BlockTable } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const from = 4 + buffer.readUInt32BE(0)
  const head = IndexHead.parse(JSON.parse(buffer.toString('utf8', 4, from)))
  return { head, blocks: new BlockTable(head, buffer.subarray(from)) }
}

/** Where the blocks lie; their entries are read in place, as there may be millions. */
export class BlockTable {
  readonly #entries: Buffer
  readonly #offsets: Float64Array
  /** The number of the first block of each file. */
  readonly #firsts: readonly number[]

  constructor({ files }: IndexHead, entries: Buffer) {
    this.#entries = entries
    const count = entries.length / blockEntryBytes
    this.#offsets = new Float64Array(count)
    const firsts: number[] = []
    let block = 0
    for (const blocks of files) {
      firsts.push(block)
      let offset = 0
      for (const end = block + blocks; block < end; block++) {
        this.#offsets[block] = offset
        offset += this.#packedBytes(block)
      }
    }
    if (block !== count) throw new Error(`the index has ${count} blocks, its files ${block}`)
    this.#firsts = firsts
  }

  /** The last block that begins at or before a place; -1 where all begin behind it. */
  holding({ high, low }: SessionKey, at: number): number {
    let below = -1
    let above = this.#offsets.length
    while (above - below > 1) {
      const middle = (below + above) >>> 1
      const from = middle * blockEntryBytes
      const order =
        this.#entries.readUInt32BE(from) - high ||
        this.#entries.readUInt32BE(from + 4) - low ||
        this.#entries.readUIntBE(from + 8, 6) - at
      if (order <= 0) below = middle
      else above = middle
    }
    return below
  }

  place(block: number): { file: number; offset: number; bytes: number } {
    let file = this.#firsts.length - 1
    while ((this.#firsts[file] ?? 0) > block) file--
    return { file, offset: this.#offsets[block] ?? 0, bytes: this.#packedBytes(block) }
  }

  /** How many bytes each file takes. */
  fileSizes(): number[] {
    return this.#firsts.map((first, file) => {
      const last = (this.#firsts[file + 1] ?? this.#offsets.length) - 1
      return last < first ? 0 : (this.#offsets[last] ?? 0) + this.#packedBytes(last)
    })
  }

  #packedBytes(block: number): number {
    return this.#entries.readUInt32BE(block * blockEntryBytes + 14)
  }
}

export function fileName(folder: string, file: number): string {
  return `${folder}/${String(file).padStart(5, '0')}`
}
