import { gzipSync } from 'node:zlib'
import type { Compression } from '@heapferry/domain'
import xxhash from 'xxhash-wasm'

export type Packed = Exclude<Compression, 'none'>

export const compressions: readonly Packed[] = ['gzip', 'zstd', 'bzip2']

const { h64Raw } = await xxhash()

/**
 * Packs a file in several pieces, so that their bounds fall into the middle of rows: gzip members, zstd frames of several
 * blocks, bzip2 streams of several blocks. No program is needed for it, and none could be told to make pieces so small.
 */
export const packers: Record<Packed, (content: Buffer) => Buffer> = {
  gzip: (content) => Buffer.concat(halves(content).map((half) => gzipSync(half))),
  zstd: (content) =>
    Buffer.concat(
      halves(content).map((half) => {
        const parts = partsOf(half, 300)
        const blocks = (parts.length > 0 ? parts : [half]).map((bytes) => ({ kind: 'raw' as const, bytes }))
        return zstdFrame({ blocks, size: 'none', hasChecksum: true, window: window8KiB }).packed
      }),
    ),
  bzip2: (content) => Buffer.concat(halves(content).map(bzip2Stream)),
}

function halves(content: Buffer): Buffer[] {
  const middle = Math.floor(content.length / 2)
  return [content.subarray(0, middle), content.subarray(middle)]
}

function partsOf(content: Buffer, bytes: number): Buffer[] {
  const parts = []
  for (let at = 0; at < content.length; at += bytes) parts.push(content.subarray(at, at + bytes))
  return parts
}

type ZstdBlock = { kind: 'raw'; bytes: Uint8Array } | { kind: 'run'; byte: number; bytes: number }

export interface ZstdFrame {
  blocks: ZstdBlock[]
  /** `one_segment` says the size in place of a window. */
  size: 'none' | 'long' | 'one_segment'
  hasChecksum: boolean
  /** As a frame's header says it. Whoever reads the frame makes room for it, which is most of the time a small one takes. */
  window?: number
}

const window1MiB = 0x50
const window8KiB = 0x18

/** A frame as RFC 8878 has it, of blocks that need no packing. */
export function zstdFrame({ blocks, size, hasChecksum, window = window1MiB }: ZstdFrame): {
  packed: Buffer
  content: Buffer
} {
  const content = Buffer.concat(
    blocks.map((block) => (block.kind === 'raw' ? block.bytes : Buffer.alloc(block.bytes, block.byte))),
  )
  const checksumFlag = hasChecksum ? 0x04 : 0
  const checksum = Buffer.alloc(hasChecksum ? 4 : 0)
  if (hasChecksum) checksum.writeUInt32LE(Number(h64Raw(content) & 0xffffffffn))
  return {
    packed: Buffer.concat([
      Buffer.from('28b52ffd', 'hex'),
      ...{
        none: () => [Buffer.from([checksumFlag, window])],
        long: () => [Buffer.from([0xc0 | checksumFlag, window]), little(content.length, 8)],
        one_segment: () =>
          content.length < 256
            ? [Buffer.from([0x20 | checksumFlag, content.length])]
            : [Buffer.from([0x60 | checksumFlag]), little(content.length - 256, 2)],
      }[size](),
      ...blocks.flatMap((block, index) => {
        const isLast = index === blocks.length - 1 ? 1 : 0
        return block.kind === 'raw'
          ? [little((block.bytes.length << 3) | isLast, 3), block.bytes]
          : [little((block.bytes << 3) | 2 | isLast, 3), Buffer.from([block.byte])]
      }),
      checksum,
    ]),
    content,
  }
}

export function little(number: number, bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntLE(number, 0, Math.min(6, bytes))
  return buffer
}

/**
 * A stream as bzip2 1.0.8 unpacks it, of small blocks. All of its steps are there but the choice of codes: every symbol
 * gets one of the same length.
 */
function bzip2Stream(content: Buffer): Buffer {
  const bits = new Bits()
  bits.bytes(Buffer.from('BZh1'))
  let streamCrc = 0
  for (const block of partsOf(content, 500)) {
    const crc = bzip2Crc(block)
    streamCrc = ((streamCrc << 1) | (streamCrc >>> 31)) ^ crc
    bits.bytes(Buffer.from('314159265359', 'hex'))
    bits.add(crc, 32)
    bits.add(0, 1)
    addBzip2Block(bits, withRuns(block))
  }
  bits.bytes(Buffer.from('177245385090', 'hex'))
  bits.add(streamCrc, 32)
  return bits.taken()
}

function addBzip2Block(bits: Bits, block: Buffer): void {
  // Burrows and Wheeler: the last byte of every rotation, in the order of the rotations.
  const twice = Buffer.concat([block, block])
  const { length } = block
  const rotations = Array.from(block.keys()).toSorted((a, b) => twice.compare(twice, b, b + length, a, a + length))
  bits.add(rotations.indexOf(0), 24)
  const lastBytes = rotations.map((start) => twice.readUInt8(start + length - 1))

  const used = [...new Set(block)].toSorted((a, b) => a - b)
  const ranges = Array.from({ length: 16 }, (_, range) => used.filter((byte) => byte >> 4 === range))
  for (const range of ranges) bits.add(range.length > 0 ? 1 : 0, 1)
  for (const range of ranges.filter((bytes) => bytes.length > 0))
    for (let low = 0; low < 16; low++) bits.add(range.some((byte) => (byte & 15) === low) ? 1 : 0, 1)

  const symbols = symbolsOf(lastBytes, used)
  const codeBits = Math.ceil(Math.log2(used.length + 2))
  const selectors = Math.ceil(symbols.length / 50)
  // Two tables are the fewest there may be; only the first is used.
  bits.add(2, 3)
  bits.add(selectors, 15)
  for (let selector = 0; selector < selectors; selector++) bits.add(0, 1)
  for (let table = 0; table < 2; table++) {
    bits.add(codeBits, 5)
    for (let symbol = 0; symbol < used.length + 2; symbol++) bits.add(0, 1)
  }
  for (const symbol of symbols) bits.add(symbol, codeBits)
}

/** Moved to front, with runs of zeros as numbers of the digits 1 and 2, and the end of the block. */
function symbolsOf(bytes: readonly number[], used: readonly number[]): number[] {
  const order = [...used]
  const symbols: number[] = []
  let zeros = 0
  const endRun = (): void => {
    for (; zeros > 0; zeros = (zeros - 1) >> 1) symbols.push((zeros - 1) & 1)
  }
  for (const byte of bytes) {
    const index = order.indexOf(byte)
    order.splice(index, 1)
    order.unshift(byte)
    if (index === 0) {
      zeros++
      continue
    }
    endRun()
    symbols.push(index + 1)
  }
  endRun()
  return [...symbols, used.length + 1]
}

/** Behind four equal bytes stands how many more there are. */
function withRuns(block: Buffer): Buffer {
  const bytes: number[] = []
  for (let at = 0; at < block.length; ) {
    const byte = block.readUInt8(at)
    let run = 1
    while (run < 255 && block[at + run] === byte) run++
    bytes.push(...Array<number>(Math.min(run, 4)).fill(byte))
    if (run >= 4) bytes.push(run - 4)
    at += run
  }
  return Buffer.from(bytes)
}

/** The CRC of Ethernet with the bits the other way round than gzip has them. */
function bzip2Crc(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte << 24
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1
  }
  return ~crc >>> 0
}

/** Bits in the order in which they are added. */
class Bits {
  readonly #bytes: number[] = []
  #open = 0
  #openBits = 0

  add(value: number, bits: number): void {
    for (let bit = bits - 1; bit >= 0; bit--) {
      this.#open = (this.#open << 1) | ((value >>> bit) & 1)
      if (++this.#openBits < 8) continue
      this.#bytes.push(this.#open)
      this.#open = 0
      this.#openBits = 0
    }
  }

  bytes(bytes: Buffer): void {
    for (const byte of bytes) this.add(byte, 8)
  }

  /** All of it, filled up with zeros to a whole byte. */
  taken(): Buffer {
    while (this.#openBits > 0) this.add(0, 1)
    return Buffer.from(this.#bytes)
  }
}
