import type { Compression, TextEncoding } from '@heapferry/domain'
import { type Blob, beginningBytes } from '../places/blob.ts'
import { DamagedContent } from './damaged-content.ts'
import { decompress } from './decompress.ts'
import { transcoded } from './transcoded.ts'

/** The uncompressed bytes of a file, of text in UTF-8, to be read in order. */
export interface FileContent {
  /**
   * The bytes from `start` to `end`, or to where the content ends before that.
   * @throws DamagedContent after everything that could be unpacked
   */
  blocks(start: number, end?: number): AsyncGenerator<Buffer>
}

// Large enough that a read costs nothing beside its bytes, also over a network; a worker holds four.
const blockBytes = 1024 * 1024

export function contentOf(blob: Blob, compression: Compression, encoding?: TextEncoding): FileContent {
  if (encoding !== undefined) return transcoded(contentOf(blob, compression), encoding)
  if (compression === 'none') {
    const { sizeBytes } = blob.version
    return { blocks: (start, end = sizeBytes) => plainBlocks(blob, start, Math.min(end, sizeBytes)) }
  }
  return { blocks: (start, end) => unpackedBlocks(blob, compression, start, end ?? Number.POSITIVE_INFINITY) }
}

/** The first bytes of a content. */
export interface Beginning {
  bytes: Buffer
  /** Why there are fewer than were asked for, where the content does not end there. */
  damage: string | null
}

/** Fewer bytes than `length` where the content is shorter or damaged. Damage behind them is left to those who read on. */
export async function beginningOf(content: FileContent, length: number): Promise<Beginning> {
  const blocks: Buffer[] = []
  let damage: string | null = null
  try {
    for await (const block of content.blocks(0, length)) blocks.push(block)
  } catch (error) {
    if (!(error instanceof DamagedContent)) throw error
    damage = error.message
  }
  return { bytes: Buffer.concat(blocks), damage }
}

async function* plainBlocks(blob: Blob, start: number, end: number): AsyncGenerator<Buffer> {
  for (let at = start; at < end; at += blockBytes) {
    const block = Buffer.allocUnsafe(Math.min(blockBytes, end - at))
    await blob.fill(block, at)
    yield block
  }
}

async function* unpackedBlocks(
  blob: Blob,
  compression: Exclude<Compression, 'none'>,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  let at = 0
  try {
    for await (const block of decompress(blob, compression, { blockBytes: packedBlockBytes(compression, end) })) {
      const from = Math.max(0, start - at)
      const to = Math.min(block.length, end - at)
      at += block.length
      if (from < to) yield block.subarray(from, to)
      if (at >= end) return
    }
  } catch (error) {
    // Who starts behind the damage has met it before.
    if (!(error instanceof DamagedContent) || at >= start) throw error
  }
}

/** Who wants little fetches little; but bzip2 unpacks nothing before it has 2.3 MB. */
function packedBlockBytes(compression: Compression, end: number): number {
  return compression === 'bzip2' ? blockBytes : Math.max(beginningBytes, Math.min(blockBytes, end))
}
