/** Rows of two or four 32-bit words, in blocks, so that growing copies nothing. */
export class PackedRows {
  /** Full, but the last. */
  #blocks: Int32Array[] = []
  #block = new Int32Array(0)
  /** Words of the last block. */
  #used = 0
  #length = 0
  readonly #width: 2 | 4

  constructor(width: 2 | 4 = 4) {
    this.#width = width
  }

  get length(): number {
    return this.#length
  }

  push(first: number, second: number, third = 0, fourth = 0): void {
    if (this.#used === this.#block.length) {
      this.#block = new Int32Array(Math.min(Math.max(this.#block.length * 2, smallestBlock), largestBlock))
      this.#blocks.push(this.#block)
      this.#used = 0
    }
    this.#block[this.#used++] = first
    this.#block[this.#used++] = second
    this.#length++
    if (this.#width === 2) return
    this.#block[this.#used++] = third
    this.#block[this.#used++] = fourth
  }

  *blocks(): Generator<Int32Array> {
    for (const block of this.#blocks) yield block === this.#block ? block.subarray(0, this.#used) : block
  }

  /** Hands the rows out and forgets them. */
  *drain(): Generator<Int32Array> {
    const blocks = this.#blocks
    const last = this.#block.subarray(0, this.#used)
    this.#blocks = []
    this.#block = new Int32Array(0)
    this.#used = 0
    this.#length = 0
    for (let block = blocks.shift(); block; block = blocks.shift()) yield blocks.length > 0 ? block : last
  }
}

const smallestBlock = 1 << 12
// 64 MB: what is larger than 32 MB malloc takes from the system and gives back to it, and does not fill before it is used.
const largestBlock = 1 << 24
