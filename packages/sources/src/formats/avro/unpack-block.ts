import { crc32, inflateRawSync } from 'node:zlib'
import { compressors } from 'hyparquet-compressors'
import type { Blob } from '../../places/blob.ts'
import { DamagedContent } from '../../unpacking/damaged-content.ts'
import { unzstd } from '../../unpacking/unzstd.ts'
import { UnusableFile } from '../../unusable-file.ts'
import { Undecodable } from './avro-bytes.ts'

/** @throws Undecodable when the data is not what the codec makes */
export type UnpackBlock = (data: Buffer) => Buffer | Promise<Buffer>

// Writers close a block after some kilobytes (Avro's tools at 64 kB), Spark after some megabytes at most.
export const maxBlockBytes = 256 * 1024 * 1024

/**
 * How the blocks of a file are unpacked.
 * https://avro.apache.org/docs/1.12.0/specification/#required-codecs
 *
 * @throws UnusableFile when the codec is not known here
 */
export function unpackerOf(codec: string): UnpackBlock {
  switch (codec) {
    case 'null':
      return (data) => data
    case 'deflate':
      return inflate
    case 'snappy':
      return unsnappy
    case 'zstandard':
      return unzstandard
    default:
      throw new UnusableFile(
        `its blocks are packed with ${JSON.stringify(codec.slice(0, 40))}, which cannot be unpacked here`,
        'Write the table again with the codec snappy, deflate, zstandard or null.',
      )
  }
}

function inflate(data: Buffer): Buffer {
  try {
    return inflateRawSync(data, { maxOutputLength: maxBlockBytes })
  } catch (cause) {
    throw new Undecodable('its deflate data is damaged', { cause })
  }
}

const checksumBytes = 4

function unsnappy(data: Buffer): Buffer {
  if (data.length < checksumBytes) throw new Undecodable('it is too short for its checksum')
  const packed = data.subarray(0, -checksumBytes)
  const bytes = snappyBytes(packed)
  if (crc32(bytes) !== data.readUInt32BE(packed.length)) throw new Undecodable('its checksum does not match')
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** By hyparquet-compressors: hyparquet's own snappy never ends on some damaged data. */
function snappyBytes(packed: Buffer): Uint8Array {
  const { SNAPPY } = compressors
  if (!SNAPPY) throw new Error('hyparquet-compressors has no snappy')
  const length = snappyLength(packed)
  if (length > maxBlockBytes) throw new Undecodable(`it claims ${length} bytes`)
  try {
    return SNAPPY(packed, length)
  } catch (cause) {
    throw new Undecodable('its snappy data is damaged', { cause })
  }
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

async function unzstandard(data: Buffer): Promise<Buffer> {
  const parts: Buffer[] = []
  let length = 0
  try {
    for await (const part of unzstd(blobOf(data), data.length)) {
      length += part.length
      if (length > maxBlockBytes) throw new Undecodable(`it unpacks to more than ${maxBlockBytes} bytes`)
      parts.push(part)
    }
  } catch (cause) {
    if (cause instanceof DamagedContent) throw new Undecodable('its zstandard data is damaged', { cause })
    // It asks for too much memory, or for a dictionary: known of this block alone, so it costs its rows and not the run.
    if (cause instanceof UnusableFile) throw new Undecodable(cause.message, { cause })
    throw cause
  }
  return Buffer.concat(parts)
}

function blobOf(bytes: Buffer): Blob {
  return {
    version: { sizeBytes: bytes.length, mark: '' },
    async fill(target, at) {
      bytes.copy(target, 0, at)
    },
    async close() {},
  }
}
