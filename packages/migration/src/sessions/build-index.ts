import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import type { Values, WorkStore } from '@heapferry/domain'
import type { Scratch } from '../scratch.ts'
import {
  atOfPage,
  atOfSession,
  compareKeys,
  encodeBlocks,
  encodeHead,
  fileName,
  type IndexBlock,
  type IndexHead,
  keyOf,
  recordAt,
  recordBytes,
  recordKey,
  recordStart,
  Records,
  type SessionKey,
  setRecordStart,
} from './index-format.ts'

/** What of an index may be chosen without changing what it answers. Only `bufferBytes` leaves its bytes as they are, too. */
export interface IndexSizes {
  /** Of records that are held before they go to scratch. */
  bufferBytes: number
  /** Of a block, unpacked. */
  blockBytes: number
  /** Of a file, unpacked: it is put together in memory. */
  fileBytes: number
}

export const usualSizes: IndexSizes = {
  bufferBytes: 64 * 1024 * 1024,
  // Smaller ones take more room, larger ones longer to unpack for the one record that is wanted.
  blockBytes: 8 * 1024,
  fileBytes: 64 * 1024 * 1024,
}

// A part is sorted in memory: 100 million sessions with a few hundred bytes each make parts of 30 MB.
const partBits = 10
const parts = 2 ** partBits

/**
 * Sorts sessions and pageviews in memory that does not grow with them: records are spread over parts by their keys, so that
 * those of one session meet in one, and every part is sorted alone.
 */
export class IndexBuilder {
  readonly #scratch: Scratch
  readonly #sizes: IndexSizes
  readonly #parts = Array.from({ length: parts }, () => new Records())
  #buffered = 0

  constructor(scratch: Scratch, sizes: IndexSizes = usualSizes) {
    this.#scratch = scratch
    this.#sizes = sizes
  }

  /** True when `spill` is due. */
  get isFull(): boolean {
    return this.#buffered >= this.#sizes.bufferBytes
  }

  /** @param startMs null where it is not known */
  addSession(name: string, startMs: number | null, cells: Values): void {
    const key = keyOf(name)
    this.#buffered += this.#partOf(key).add(key, atOfSession, startMs, cells)
  }

  addPage(name: string, timeMs: number, cells: Values): void {
    const key = keyOf(name)
    this.#buffered += this.#partOf(key).add(key, atOfPage(timeMs), undefined, cells)
  }

  #partOf({ high }: SessionKey): Records {
    const part = this.#parts[high >>> (32 - partBits)]
    if (!part) throw new Error('a key is outside of all parts')
    return part
  }

  async spill(): Promise<void> {
    for (const [part, records] of this.#parts.entries()) {
      const bytes = records.take()
      if (bytes.length > 0) await this.#scratch.append(part, bytes)
    }
    this.#buffered = 0
  }

  /**
   * Writes the index: its files first, what says which they are last. Adding more afterwards is not allowed.
   * @returns the hash of what it holds; null when the signal came before it was whole
   */
  async write(
    store: Pick<WorkStore, 'put'>,
    folder: string,
    { hasSessions, signal }: { hasSessions: boolean; signal: AbortSignal },
  ): Promise<string | null> {
    const writer = new IndexWriter(store, folder, this.#sizes)
    for (const [part, held] of this.#parts.entries()) {
      if (signal.aborted) return null
      const records = Buffer.concat([await this.#scratch.take(part), held.take()])
      writer.addPart(settled(records))
      await writer.endFile('where it is full')
    }
    return writer.end(hasSessions)
  }
}

interface SettledPart {
  records: Buffer
  /** Where the records of the index begin, in order. */
  offsets: readonly number[]
}

/** Sorts the records of a part, and leaves one of each session: of its first row, with the start that all rows tell. */
function settled(records: Buffer): SettledPart {
  const offsets: number[] = []
  for (let from = 0; from < records.length; from += recordBytes(records, from)) offsets.push(from)
  const kept: number[] = []
  let last: number | undefined
  for (const from of sorted(records, offsets)) {
    if (last !== undefined && isOfOneSession(records, last, from)) {
      const isAtOnce = recordAt(records, last) === recordAt(records, from)
      if (isAtOnce && isSession(records, from)) continue
      // Of pageviews at one moment the last stands for all.
      if (isAtOnce) kept.pop()
      else if (isSession(records, last)) {
        const firstPageMs = recordAt(records, from) - atOfPage(0)
        setRecordStart(records, last, Math.min(recordStart(records, last) ?? firstPageMs, firstPageMs))
      }
    }
    kept.push(from)
    last = from
  }
  return { records, offsets: kept }
}

/** By key and moment; rows of `sessions` that are of one session by their start; all by what they hold where that is one. */
function sorted(records: Buffer, offsets: readonly number[]): number[] {
  const high = Uint32Array.from(offsets, (from) => recordKey(records, from).high)
  const low = Uint32Array.from(offsets, (from) => recordKey(records, from).low)
  const at = Float64Array.from(offsets, (from) => recordAt(records, from))
  const order = Uint32Array.from(offsets, (_, nth) => nth).toSorted(
    (a, b) =>
      (high[a] ?? 0) - (high[b] ?? 0) ||
      (low[a] ?? 0) - (low[b] ?? 0) ||
      (at[a] ?? 0) - (at[b] ?? 0) ||
      compareRows(records, offsets[a] ?? 0, offsets[b] ?? 0),
  )
  return Array.from(order, (nth) => offsets[nth] ?? 0)
}

function compareRows(records: Buffer, a: number, b: number): number {
  if (isSession(records, a)) {
    // What is not known comes last.
    const order = (recordStart(records, a) ?? Number.MAX_VALUE) - (recordStart(records, b) ?? Number.MAX_VALUE)
    if (order !== 0) return order
  }
  return records.compare(records, b, b + recordBytes(records, b), a, a + recordBytes(records, a))
}

function isSession(records: Buffer, from: number): boolean {
  return recordAt(records, from) === atOfSession
}

function isOfOneSession(records: Buffer, a: number, b: number): boolean {
  return compareKeys(recordKey(records, a), recordKey(records, b)) === 0
}

/** Cuts sorted records into blocks, and blocks into files. A block never goes on in another file. */
class IndexWriter {
  readonly #store: Pick<WorkStore, 'put'>
  readonly #folder: string
  readonly #sizes: IndexSizes
  readonly #content = createHash('sha256')
  /** Of the blocks of files that are written, as the head has them. */
  readonly #heads: Buffer[] = []
  readonly #files: number[] = []
  #blocks: IndexBlock[] = []
  #packed: Buffer[] = []
  #unpackedBytes = 0
  #sessions = 0
  #pages = 0

  constructor(store: Pick<WorkStore, 'put'>, folder: string, sizes: IndexSizes) {
    this.#store = store
    this.#folder = folder
    this.#sizes = sizes
  }

  addPart({ records, offsets }: SettledPart): void {
    let block: Buffer[] = []
    let bytes = 0
    let first: number | undefined
    const end = (): void => {
      if (first !== undefined) this.#addBlock(Buffer.concat(block), records, first)
      block = []
      bytes = 0
      first = undefined
    }
    for (const from of offsets) {
      const length = recordBytes(records, from)
      if (bytes + length > this.#sizes.blockBytes) end()
      first ??= from
      block.push(records.subarray(from, from + length))
      bytes += length
      if (isSession(records, from)) this.#sessions++
      else this.#pages++
    }
    end()
  }

  #addBlock(block: Buffer, records: Buffer, first: number): void {
    this.#content.update(block)
    const packed = deflateSync(block)
    this.#blocks.push({ ...recordKey(records, first), at: recordAt(records, first), packedBytes: packed.length })
    this.#packed.push(packed)
    this.#unpackedBytes += block.length
  }

  async endFile(when: 'where it is full' | 'now'): Promise<void> {
    if (this.#packed.length === 0 || (when !== 'now' && this.#unpackedBytes < this.#sizes.fileBytes)) return
    await this.#store.put(fileName(this.#folder, this.#files.length), this.#packed)
    this.#files.push(this.#packed.length)
    this.#heads.push(encodeBlocks(this.#blocks))
    this.#blocks = []
    this.#packed = []
    this.#unpackedBytes = 0
  }

  async end(hasSessions: boolean): Promise<string> {
    await this.endFile('now')
    const head: IndexHead = {
      format: 1,
      content: this.#content.digest('hex'),
      hasSessions,
      sessions: this.#sessions,
      pages: this.#pages,
      files: this.#files,
    }
    await this.#store.put(`${this.#folder}/head`, encodeHead(head, this.#heads))
    return head.content
  }
}
