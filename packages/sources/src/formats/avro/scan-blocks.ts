import { DamagedContent } from '../../unpacking/damaged-content.ts'
import { maxUnpackedBytes } from '../../unpacking/unpack-bytes.ts'
import { AvroBytes, Undecodable } from './avro-bytes.ts'

/** One part of a file behind its header. Offsets are those of the file. */
export type Block =
  | { kind: 'rows'; at: number; end: number; rows: number; data: Buffer }
  /** Bytes that are no block, up to the next one or to the end. Counts as one row, which cannot be read. */
  | { kind: 'damaged'; at: number; end: number; rows: 1; detail: string }

export const syncBytes = 16
// Two numbers of 64 bits.
const maxHeadBytes = 20
// Ids and a time take more than that, so no block has room for more rows.
const minRowBytes = 16
// Deflate reaches 1032, and no codec that much with rows whose ids differ: a damaged count must not become as many rows.
const maxPacking = 2000

/**
 * The blocks of a file without unpacking them. What it finds at a block's start depends on the bytes behind it alone, so
 * that the producer, which reads the whole file, and a worker, which reads a chunk, agree on every block. Behind damage
 * it goes on after the next mark that ends a block.
 *
 * @param content the bytes from `start` to where a block ends for sure: the end of the file, or of a chunk
 */
export async function* scanBlocks(
  content: AsyncGenerator<Buffer>,
  { start, sync }: { start: number; sync: Buffer },
): AsyncGenerator<Block> {
  const input = new Lookahead(content)
  try {
    for (let at = start; ; ) {
      const block = await blockAt(at, input, sync)
      if (block === null) return
      yield block
      at = block.end
    }
  } finally {
    await content.return(undefined)
  }
}

/** Null at the end. */
async function blockAt(at: number, input: Lookahead, sync: Buffer): Promise<Block | null> {
  await input.fill(maxHeadBytes)
  if (input.bytes.length === 0) {
    const damage = input.takeDamage()
    return damage === null ? null : { kind: 'damaged', at, end: at, rows: 1, detail: damage }
  }
  const head = blockHead(input.bytes)
  if (head !== null) {
    const { rows, headBytes, dataBytes } = head
    const dataEnd = headBytes + dataBytes
    const length = dataEnd + syncBytes
    await input.fill(length)
    if (input.bytes.subarray(dataEnd, length).equals(sync)) {
      const data = input.bytes.subarray(headBytes, dataEnd)
      input.drop(length)
      return { kind: 'rows', at, end: at + length, rows, data }
    }
  }
  const skipped = await input.skipBehind(sync)
  const damage = input.bytes.length === 0 ? input.takeDamage() : null
  return {
    kind: 'damaged',
    at,
    end: at + skipped,
    rows: 1,
    detail: damage ?? `${skipped} bytes here are no block of rows, or one that is cut off`,
  }
}

/** What a block says of itself; null where no block begins. */
function blockHead(bytes: Buffer): { rows: number; headBytes: number; dataBytes: number } | null {
  const head = new AvroBytes(bytes)
  try {
    const rows = Number(head.long())
    const dataBytes = Number(head.long())
    const unpackedBytes = Math.min(maxUnpackedBytes, (dataBytes + 1) * maxPacking)
    const isBlock = rows >= 0 && rows <= unpackedBytes / minRowBytes && dataBytes >= 0 && dataBytes <= maxUnpackedBytes
    return isBlock ? { rows, headBytes: head.at, dataBytes } : null
  } catch (error) {
    if (!(error instanceof Undecodable)) throw error
    return null
  }
}

/** The bytes of a content from where it has come to, as many as are asked for. */
class Lookahead {
  bytes: Buffer = Buffer.alloc(0)
  readonly #content: AsyncGenerator<Buffer>
  #damage: string | null = null
  #ended = false

  constructor(content: AsyncGenerator<Buffer>) {
    this.#content = content
  }

  /** Has `length` bytes at hand, fewer only at the end. */
  async fill(length: number): Promise<void> {
    const parts = [this.bytes]
    let filled = this.bytes.length
    while (filled < length) {
      const part = await this.#next()
      if (part === null) break
      parts.push(part)
      filled += part.length
    }
    if (parts.length > 1) this.bytes = Buffer.concat(parts, filled)
  }

  drop(length: number): void {
    this.bytes = this.bytes.subarray(length)
  }

  /** Drops everything up to the end of the next mark, or of the content. Says how many bytes. */
  async skipBehind(mark: Buffer): Promise<number> {
    let skipped = 0
    const skip = (length: number): void => {
      skipped += length
      this.drop(length)
    }
    for (;;) {
      const found = this.bytes.indexOf(mark)
      if (found !== -1) {
        skip(found + mark.length)
        return skipped
      }
      // Its last bytes may be the first ones of the mark.
      skip(Math.max(0, this.bytes.length - mark.length + 1))
      const kept = this.bytes.length
      await this.fill(kept + 1)
      if (this.bytes.length === kept) {
        skip(kept)
        return skipped
      }
    }
  }

  /** What is wrong with the content where it ends before its end, told once. */
  takeDamage(): string | null {
    const damage = this.#damage
    this.#damage = null
    return damage
  }

  async #next(): Promise<Buffer | null> {
    if (this.#ended) return null
    try {
      const { done, value } = await this.#content.next()
      if (!done) return value
    } catch (error) {
      if (!(error instanceof DamagedContent)) throw error
      this.#damage = error.message
    }
    this.#ended = true
    return null
  }
}
