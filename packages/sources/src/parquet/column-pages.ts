import type { PageHeader } from 'hyparquet'
import { parquetHeader } from 'hyparquet/src/column.js'
import type { Blob } from '../blob.ts'

// What is fetched first is all that most looks at a few rows need; who reads on gets twice as much each time.
const firstBlockBytes = 64 * 1024
// With the smallest and largest value of a page, which writers cut off at some kilobytes, if not at once.
const maxHeaderBytes = 1024 * 1024
// Writers end a page after 1 MB, some after 100 MB.
const maxPageBytes = 256 * 1024 * 1024

/** The pages of one column in one row group, to be walked once and in order. Fetches no byte twice. */
export class ColumnPages {
  readonly #blob: Blob
  readonly #end: number
  readonly #maxBlockBytes: number
  #blockBytes: number
  /** What was fetched and is not passed. */
  #bytes: Buffer = Buffer.alloc(0)
  /** Where in the file it begins. */
  #at: number

  constructor(blob: Blob, { start, end, maxBlockBytes }: { start: number; end: number; maxBlockBytes: number }) {
    this.#blob = blob
    this.#at = start
    this.#end = end
    this.#maxBlockBytes = maxBlockBytes
    this.#blockBytes = Math.min(firstBlockBytes, maxBlockBytes)
  }

  /** The same pages from here on, for a look ahead. */
  fork(): ColumnPages {
    return new ColumnPages(this.#blob, { start: this.#at, end: this.#end, maxBlockBytes: this.#maxBlockBytes })
  }

  /** What the next page is, null where no page begins here that ends within the column. Its bytes are to be taken or skipped. */
  async next(): Promise<PageHeader | null> {
    for (let wanted = 1; ; wanted = this.#bytes.length + 1) {
      await this.#fetch(wanted)
      const parsed = headerIn(this.#bytes)
      if (parsed !== null) {
        this.#drop(parsed.bytes)
        return isWithin(parsed.header, this.#end - this.#at) ? parsed.header : null
      }
      // The header may only be cut off by what was fetched.
      if (this.#at + this.#bytes.length >= this.#end || this.#bytes.length >= maxHeaderBytes) return null
    }
  }

  async take({ compressed_page_size }: PageHeader): Promise<Uint8Array> {
    await this.#fetch(compressed_page_size)
    const bytes = this.#bytes.subarray(0, compressed_page_size)
    this.#drop(compressed_page_size)
    return bytes
  }

  skip({ compressed_page_size }: PageHeader): void {
    this.#drop(compressed_page_size)
  }

  #drop(bytes: number): void {
    this.#at += bytes
    this.#bytes = this.#bytes.subarray(bytes)
  }

  /** Has so many bytes at hand, fewer only at the end of the column. */
  async #fetch(bytes: number): Promise<void> {
    const kept = this.#bytes
    const left = this.#end - this.#at
    if (kept.length >= Math.min(bytes, left)) return
    const block = Buffer.allocUnsafeSlow(Math.min(left, Math.max(bytes, kept.length + this.#blockBytes)))
    kept.copy(block)
    await this.#blob.fill(block.subarray(kept.length), this.#at + kept.length)
    this.#bytes = block
    this.#blockBytes = Math.min(this.#blockBytes * 2, this.#maxBlockBytes)
  }
}

/** Null where no header lies at the beginning of the bytes, or not all of one. */
function headerIn(bytes: Buffer): { header: PageHeader; bytes: number } | null {
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 }
  try {
    const header = parquetHeader(reader)
    return { header, bytes: reader.offset }
  } catch {
    // Whatever hyparquet stumbles over, it has nothing but these bytes.
    return null
  }
}

function isWithin(
  { compressed_page_size: packed, uncompressed_page_size: unpacked }: PageHeader,
  left: number,
): boolean {
  const isSize = (bytes: number) => Number.isInteger(bytes) && bytes >= 0 && bytes <= maxPageBytes
  return isSize(packed) && isSize(unpacked) && packed <= left
}
