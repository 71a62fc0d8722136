import { Decompress } from 'fzstd'
import xxhash, { type XXHash } from 'xxhash-wasm'
import type { Blob } from '../places/blob.ts'
import { UnusableFile } from '../unusable-file.ts'
import { type ByteReader, byteReader } from './byte-reader.ts'
import { cutOffAt, damagedAt } from './damaged-content.ts'

const MiB = 1024 * 1024

// fzstd reads the distance of a match from 25 bits and is silently wrong beyond that. It is also the memory that a file
// may ask for. The zstd command asks for more from level 21 on and with --long.
const maxWindowBytes = 32 * MiB

// RFC 8878, section 3.1.1.2.
const maxBlockBytes = 128 * 1024

/**
 * The content of a zstd file. Its framing (RFC 8878, section 3.1) is read here, and fzstd gets one block at a time, of
 * at most 128 KiB unpacked. Left to itself it unpacks everything that a read holds before it can be stopped, and passes
 * over checksums and sizes.
 *
 * Checked are the framing, the size that a frame says it has, and its checksum. A frame need not have either: the zstd
 * command writes checksums, most libraries do not. Without a checksum most flipped bits give wrong content and no
 * error. That is so for every reader, but more so for fzstd: of 400 bits flipped in such a file it notices 6 %, the zstd
 * command 39 %. With a checksum all are noticed.
 */
export async function* unzstd(blob: Blob, blockBytes: number): AsyncGenerator<Buffer> {
  const { create64 } = await xxhash()
  const input = byteReader(blob, blockBytes)
  try {
    while (input.at < blob.version.sizeBytes) {
      const at = input.at
      const magic = (await take(input, 4)).readUInt32LE()
      if (magic === 0xfd2fb528) yield* contentOfFrame(input, create64())
      else if ((magic & 0xfffffff0) === 0x184d2a50) await skipFrame(input)
      else throw damagedAt(at, 'zstd', 'no frame begins here')
    }
  } finally {
    await input.close()
  }
}

async function* contentOfFrame(input: ByteReader, hash: XXHash<bigint>): AsyncGenerator<Buffer> {
  const frame = await readFrameHeader(input)
  const blockBytesMax = Math.min(frame.windowBytes, maxBlockBytes)
  const unpack = unpackerOf(frame.windowBytes)
  let unpackedBytes = 0
  for (let isLast = false; !isLast; ) {
    const { at } = input
    const head = await take(input, 3)
    const bits = head.readUIntLE(0, 3)
    isLast = (bits & 1) === 1
    const type = (bits >> 1) & 3
    const bytes = bits >> 3
    if (type === 3 || bytes > blockBytesMax) throw damagedAt(at, 'zstd', 'no block begins here')
    const packed = await take(input, type === 1 ? 1 : bytes)
    const content = unpack(Buffer.concat([head, packed]), at)
    unpackedBytes += content.length
    if (frame.hasChecksum) hash.update(content)
    if (content.length > 0) yield content
  }
  const { at } = input
  if (frame.contentBytes !== null && unpackedBytes !== frame.contentBytes)
    throw damagedAt(at, 'zstd', `${unpackedBytes} bytes unpacked, the frame says ${frame.contentBytes}`)
  if (frame.hasChecksum && (await take(input, 4)).readUInt32LE() !== Number(hash.digest() & 0xffffffffn))
    throw damagedAt(at, 'zstd', 'the checksum of the frame is another')
}

interface FrameHeader {
  windowBytes: number
  contentBytes: number | null
  hasChecksum: boolean
}

/** @throws UnusableFile when this frame can only be read by the zstd command */
async function readFrameHeader(input: ByteReader): Promise<FrameHeader> {
  const { at } = input
  const descriptor = (await take(input, 1)).readUInt8()
  const isOneSegment = (descriptor & 0x20) !== 0
  if (descriptor & 0x08) throw damagedAt(at, 'zstd', 'a reserved bit is set')
  // Five bits of an exponent, three of a mantissa.
  const window = isOneSegment ? null : (await take(input, 1)).readUInt8()
  const dictionary = await take(input, [0, 1, 2, 4][descriptor & 3] ?? 0)
  const size = await take(input, [isOneSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0)
  const contentBytes = sizeFrom(size)
  const windowBytes = window === null ? (contentBytes ?? 0) : 2 ** (10 + (window >> 3)) * (1 + (window & 7) / 8)
  if (dictionary.some((byte) => byte !== 0))
    throw new UnusableFile(
      'its zstd data was packed with a dictionary, which is not in the file',
      'Unpack the file where the dictionary is: zstd -d -D DICTIONARY FILE.',
    )
  if (windowBytes > maxWindowBytes)
    throw new UnusableFile(
      `its zstd data asks for a window of ${Math.ceil(windowBytes / MiB)} MiB; up to ${maxWindowBytes / MiB} MiB can be read here`,
      'Unpack the file, zstd -d --long=31 FILE, or pack it again with level 20 or lower and without --long.',
    )
  return { windowBytes, contentBytes, hasChecksum: (descriptor & 0x04) !== 0 }
}

function sizeFrom(bytes: Buffer): number | null {
  switch (bytes.length) {
    case 0:
      return null
    case 2:
      return bytes.readUInt16LE() + 256
    case 8:
      return Number(bytes.readBigUInt64LE())
    default:
      return bytes.readUIntLE(0, bytes.length)
  }
}

/**
 * fzstd, fed block by block. It is told of a frame with nothing but a window: sizes and checksums are none of its
 * business. With its longest header, 18 bytes, it answers to every block at once; it waits for more behind a shorter.
 */
function unpackerOf(windowBytes: number): (block: Buffer, at: number) => Buffer {
  const exponent = Math.max(0, Math.ceil(Math.log2(windowBytes)) - 10)
  const header = Buffer.alloc(18)
  header.writeUInt32LE(0xfd2fb528)
  header.writeUInt8(0xc3, 4)
  header.writeUInt8(exponent << 3, 5)
  let content: Uint8Array = new Uint8Array()
  const decompress = new Decompress((unpacked) => {
    content = unpacked
  })
  decompress.push(header)
  return (block, at) => {
    try {
      decompress.push(block)
    } catch (cause) {
      // Also a RangeError or a TypeError: fzstd trusts the numbers in a block.
      throw damagedAt(at, 'zstd', 'the block cannot be unpacked', { cause })
    }
    return Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  }
}

async function skipFrame(input: ByteReader): Promise<void> {
  let bytes = (await take(input, 4)).readUInt32LE()
  for (; bytes > 0; bytes -= Math.min(bytes, maxBlockBytes)) await take(input, Math.min(bytes, maxBlockBytes))
}

async function take(input: ByteReader, bytes: number): Promise<Buffer> {
  const taken = await input.take(bytes)
  if (taken.length < bytes) throw cutOffAt(input.at, 'zstd')
  return taken
}
