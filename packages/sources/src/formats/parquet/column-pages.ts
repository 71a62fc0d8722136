import type { Blob } from '../../places/blob.ts'
import { type PageHeader, pageHeaderIn } from './page-header.ts'

// What is fetched first is all that most looks at a few rows need; who reads on gets twice as much each time.
const firstBlockBytes = 64 * 1024
// With the smallest and largest value of a page, which writers cut off at some kilobytes, if not at once.
const maxHeaderBytes = 1024 * 1024

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

  /** The same pages from here on, to look ahead. What it fetches besides is fetched twice. */
  async fork(): Promise<ColumnPages> {
    await this.#fetch(1)
    const fork = new ColumnPages(this.#blob, { start: this.#at, end: this.#end, maxBlockBytes: this.#maxBlockBytes })
    fork.#bytes = this.#bytes
    return fork
  }

  /** Whether the first look takes in all of them. */
  get areFew(): boolean {
    return this.#end - this.#at <= firstBlockBytes
  }

  get areLeft(): boolean {
    return this.#at < this.#end
  }

  /** What the next page is, null where none begins here that ends within the column. It is to be taken or skipped. */
  async next(): Promise<PageHeader | null> {
    for (;;) {
      await this.#fetch(this.#bytes.length + 1)
      const found = headerIn(this.#bytes)
      if (found !== null) {
        this.#drop(found.length)
        return found.header !== null && found.header.packedBytes <= this.#end - this.#at ? found.header : null
      }
      // It may only be cut off by what was fetched.
      if (this.#at + this.#bytes.length >= this.#end || this.#bytes.length >= maxHeaderBytes) return null
    }
  }

  async take({ packedBytes }: PageHeader): Promise<Buffer> {
    await this.#fetch(packedBytes)
    const bytes = this.#bytes.subarray(0, packedBytes)
    this.#drop(packedBytes)
    return bytes
  }

  skip({ packedBytes }: PageHeader): void {
    this.#drop(packedBytes)
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

/** Null where no header ends within the bytes. */
function headerIn(bytes: Buffer): ReturnType<typeof pageHeaderIn> | null {
  try {
    return pageHeaderIn(bytes)
  } catch {
    // Whatever hyparquet stumbles over, it has nothing but these bytes.
    return null
  }
}
