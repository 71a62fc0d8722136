import { crc32 } from 'node:zlib'
import { DamagedContent } from '../../unpacking/damaged-content.ts'
import {
  inflateBytes,
  maxUnpackedBytes,
  snappyLength,
  unsnappyBytes,
  unzstdBytes,
} from '../../unpacking/unpack-bytes.ts'
import { UnusableFile } from '../../unusable-file.ts'

/** @throws DamagedContent when the data is not what the codec makes */
export type UnpackBlock = (data: Buffer) => Buffer | Promise<Buffer>

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
      return (data) => unpacked('deflate', () => inflateBytes(data, maxUnpackedBytes))
    case 'snappy':
      return unsnappy
    case 'zstandard':
      return unzstdBytes
    default:
      throw new UnusableFile(
        `its blocks are packed with ${JSON.stringify(codec.slice(0, 40))}, which cannot be unpacked here`,
        'Write the table again with the codec snappy, deflate, zstandard or null.',
      )
  }
}

const checksumBytes = 4

function unsnappy(data: Buffer): Buffer {
  if (data.length < checksumBytes) throw new DamagedContent('it is too short for its checksum')
  const packed = data.subarray(0, -checksumBytes)
  const length = snappyLength(packed)
  if (length > maxUnpackedBytes) throw new DamagedContent(`it claims ${length} bytes`)
  const bytes = unpacked('snappy', () => unsnappyBytes(packed, length))
  if (crc32(bytes) !== data.readUInt32BE(packed.length)) throw new DamagedContent('its checksum does not match')
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function unpacked<Bytes extends Uint8Array>(codec: string, unpack: () => Bytes): Bytes {
  try {
    return unpack()
  } catch (cause) {
    throw new DamagedContent(`its ${codec} data is damaged`, { cause })
  }
}
