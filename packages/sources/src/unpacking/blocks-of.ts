import type { Blob } from '../places/blob.ts'

/**
 * The bytes of a file in order. While a block is worked on, the next one is read, but only for those who come back for a
 * second block: a look at the beginning fetches nothing in vain.
 */
export async function* blocksOf(blob: Blob, blockBytes: number): AsyncGenerator<Buffer> {
  const { sizeBytes } = blob.version
  let ahead: Promise<Buffer> | null = null
  try {
    for (let at = 0; at < sizeBytes; at += blockBytes) {
      const block: Buffer = await (ahead ?? blockAt(at))
      const next = at + blockBytes
      ahead = at > 0 && next < sizeBytes ? blockAt(next) : null
      // Thrown when its turn has come: until then its failure is nobody's.
      ahead?.catch(() => {})
      yield block
    }
  } finally {
    // Who stops early closes the file next: not while it is read.
    await ahead?.catch(() => {})
  }

  async function blockAt(at: number): Promise<Buffer> {
    const block = Buffer.allocUnsafe(Math.min(blockBytes, sizeBytes - at))
    await blob.fill(block, at)
    return block
  }
}
