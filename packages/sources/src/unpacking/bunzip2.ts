import bitIterator from 'unbzip2-stream/lib/bit_iterator.js'
import bzip2 from 'unbzip2-stream/lib/bzip2.js'
import type { Blob } from '../places/blob.ts'
import { blocksOf } from './blocks-of.ts'
import { cutOffAt, damagedAt } from './damaged-content.ts'

// What the levels 1 to 9 stand for, and what a block may need packed: 20 bits for each byte, and tables of 45 kB.
const blockBytesPerLevel = 100_000
const maxPackedBlockBytes = 2_300_000

const pieceBytes = 64 * 1024

/**
 * The content of a bzip2 file, through all its streams (pbzip2 and Hadoop write many). A block is handed out when its
 * CRC is right, so nothing wrong ever is. It may unpack to 46 MB if it is one long run: that bounds the memory.
 *
 * unbzip2-stream is asked for one block at a time. As a stream it unpacks at once whatever it was given, and of such
 * runs a kilobyte holds a gigabyte.
 */
export async function* bunzip2(blob: Blob, blockBytes: number): AsyncGenerator<Buffer> {
  const { sizeBytes } = blob.version
  const blocks = blocksOf(blob, blockBytes)
  const queue: Buffer[] = []
  let readBytes = 0
  let hasRunOut = false
  const nextBuffer = (): Buffer => {
    const buffer = queue.shift()
    if (buffer) return buffer
    hasRunOut = true
    throw new Error('no more bytes')
  }
  const readUntil = async (end: number): Promise<void> => {
    while (readBytes < Math.min(end, sizeBytes)) {
      const { done, value } = await blocks.next()
      if (done) return
      queue.push(value)
      readBytes += value.length
    }
  }
  const symbols = new Int32Array(9 * blockBytesPerLevel)
  let at = 0
  /** @throws DamagedContent for whatever the library throws: it also stumbles over numbers that it did not check */
  const step = <T>(decode: () => T): T => {
    try {
      return decode()
    } catch (cause) {
      if (hasRunOut && readBytes === sizeBytes) throw cutOffAt(sizeBytes, 'bzip2', { cause })
      throw damagedAt(at, 'bzip2', 'no block or stream that can be unpacked begins here', { cause })
    }
  }

  try {
    await readUntil(maxPackedBlockBytes)
    if (sizeBytes === 0) return
    const bits = bitIterator(nextBuffer)
    while (at < sizeBytes) {
      const level = step(() => bzip2.header(bits))
      for (let crc: number | null = 0; crc !== null; ) {
        at = bits.bytesRead
        await readUntil(at + maxPackedBlockBytes)
        const content = pieces()
        const before: number = crc
        crc = step(() => bzip2.decompress(bits, content.write, symbols, level * blockBytesPerLevel, before))
        yield* content.taken()
      }
      at = bits.bytesRead
    }
  } finally {
    await blocks.return(undefined)
  }
}

/** Collects the bytes of a block, which come one by one. */
function pieces(): { write(byte: number): void; taken(): Buffer[] } {
  const full: Buffer[] = []
  let piece = Buffer.allocUnsafe(pieceBytes)
  let length = 0
  return {
    write(byte) {
      if (length === pieceBytes) {
        full.push(piece)
        piece = Buffer.allocUnsafe(pieceBytes)
        length = 0
      }
      piece[length++] = byte
    },
    taken: () => (length > 0 ? [...full, piece.subarray(0, length)] : full),
  }
}
