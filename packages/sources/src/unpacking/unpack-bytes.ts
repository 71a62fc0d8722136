import { brotliDecompressSync, inflateRawSync, unzipSync } from 'node:zlib'
import { compressors } from 'hyparquet-compressors'
import type { Blob } from '../places/blob.ts'
import { UnusableFile } from '../unusable-file.ts'
import { DamagedContent } from './damaged-content.ts'
import { unzstd } from './unzstd.ts'

// What is packed by itself and held in memory, as blocks of Avro and pages of Parquet are. Each function throws when the
// data is damaged, and never makes more of it than it is told.

// Writers of Avro close a block after some kilobytes (its tools at 64 kB), Spark after some megabytes at most.
export const maxUnpackedBytes = 256 * 1024 * 1024

export function inflateBytes(packed: Uint8Array, maxBytes: number): Buffer {
  return inflateRawSync(packed, { maxOutputLength: maxBytes })
}

export function gunzipBytes(packed: Uint8Array, maxBytes: number): Buffer {
  return unzipSync(packed, { maxOutputLength: maxBytes })
}

export function unbrotliBytes(packed: Uint8Array, maxBytes: number): Buffer {
  return brotliDecompressSync(packed, { maxOutputLength: maxBytes })
}

/**
 * By hyparquet-compressors: hyparquet's own snappy never ends on some damaged data.
 * @param bytes what `snappyLength` says: where there is less, it hands out what was unpacked before
 */
export function unsnappyBytes(packed: Uint8Array, bytes: number): Uint8Array {
  const { SNAPPY } = compressors
  if (!SNAPPY) throw new Error('hyparquet-compressors has no snappy')
  return SNAPPY(packed, bytes)
}

/** What snappy data says it unpacks to: a varint at its beginning. */
export function snappyLength(packed: Uint8Array): number {
  let length = 0
  for (let at = 0; at < 5; at++) {
    const byte = packed[at] ?? 0
    length += (byte & 0x7f) * 2 ** (7 * at)
    if (byte < 0x80) break
  }
  return length
}

/**
 * Checks sizes and checksums, and keeps within its window, none of which fzstd does alone.
 * @throws DamagedContent also where only other tools can unpack it: known of this data alone, it costs its rows, not the run
 */
export async function unzstdBytes(packed: Uint8Array): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  try {
    for await (const part of unzstd(blobOf(packed), packed.length)) {
      parts.push(part)
      length += part.length
      if (length > maxUnpackedBytes) break
    }
  } catch (cause) {
    if (cause instanceof DamagedContent) throw new DamagedContent('its zstandard data is damaged', { cause })
    if (cause instanceof UnusableFile) throw new DamagedContent(cause.message, { cause })
    throw cause
  }
  if (length > maxUnpackedBytes) throw new DamagedContent(`it unpacks to more than ${maxUnpackedBytes} bytes`)
  return Buffer.concat(parts)
}

function blobOf(bytes: Uint8Array): Blob {
  return {
    version: { sizeBytes: bytes.length, mark: '' },
    async fill(target, at) {
      target.set(bytes.subarray(at, at + target.length))
    },
    async close() {},
  }
}
