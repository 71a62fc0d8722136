import type { CompressionCodec, Compressors } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { gunzipBytes, snappyLength, unbrotliBytes, unsnappyBytes, unzstdBytes } from '../../unpacking/unpack-bytes.ts'

/**
 * What hyparquet unpacks with, where the bytes may be damaged: its own gzip and brotli neither stop at the size that is
 * expected nor notice that there is less.
 */
export const safeCompressors: Compressors = {
  ...compressors,
  SNAPPY(packed, bytes) {
    if (snappyLength(packed) !== bytes) throw new Error('its snappy data has another size')
    return unsnappyBytes(packed, bytes)
  },
  GZIP: gunzipBytes,
  BROTLI: unbrotliBytes,
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
  if (codec === 'ZSTD') return unzstdBytes(packed)
  const decompress = safeCompressors[codec]
  if (!decompress) throw new Error(`it is packed with ${codec}`)
  return decompress(packed, bytes)
}
