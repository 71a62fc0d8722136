import { brotliDecompressSync, unzipSync } from 'node:zlib'
import type { CompressionCodec, Compressors } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { snappyLength, unpackerOf } from '../avro/unpack-block.ts'

/**
 * What hyparquet unpacks with, where the bytes may be damaged: its own gzip and brotli neither stop at the size that is
 * expected nor notice that there is less, and snappy's wasm hands out what was unpacked before where there is less.
 */
export const safeCompressors: Compressors = {
  ...compressors,
  SNAPPY(packed, bytes) {
    if (snappyLength(packed) !== bytes) throw new Error('its snappy data has another size')
    return unpackSnappy(packed, bytes)
  },
  GZIP: (packed, bytes) => unzipSync(packed, { maxOutputLength: bytes }),
  BROTLI: (packed, bytes) => brotliDecompressSync(packed, { maxOutputLength: bytes }),
}

const { SNAPPY: unpackSnappy = missing } = compressors

function missing(): never {
  throw new Error('hyparquet-compressors has no snappy')
}

export const unpackableCodecs: ReadonlySet<CompressionCodec> = new Set<CompressionCodec>([
  'UNCOMPRESSED',
  'SNAPPY',
  'GZIP',
  'BROTLI',
  'ZSTD',
  'LZ4',
  'LZ4_RAW',
])

const unpackZstandard = unpackerOf('zstandard')

/** @throws when it is not what the codec makes of so many bytes */
export async function unpackPage(packed: Uint8Array, bytes: number, codec: CompressionCodec): Promise<Uint8Array> {
  // Writers differ in what they make of nothing.
  if (bytes === 0) return new Uint8Array()
  const unpacked = await unpack(packed, bytes, codec)
  if (unpacked.length !== bytes) throw new Error(`${unpacked.length} bytes unpacked, its header says ${bytes}`)
  return unpacked
}

function unpack(packed: Uint8Array, bytes: number, codec: CompressionCodec): Uint8Array | Promise<Uint8Array> {
  if (codec === 'UNCOMPRESSED') return packed
  // Checks sizes and checksums, and keeps within its window, none of which fzstd does alone.
  if (codec === 'ZSTD') return unpackZstandard(Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength))
  const decompress = safeCompressors[codec]
  if (!decompress) throw new Error(`it is packed with ${codec}`)
  return decompress(packed, bytes)
}
