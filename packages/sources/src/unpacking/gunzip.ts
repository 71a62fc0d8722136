import { createGunzip } from 'node:zlib'
import type { Blob } from '../places/blob.ts'
import { blocksOf } from './blocks-of.ts'
import { cutOffAt, damagedAt } from './damaged-content.ts'

// What zlib is given at once, and what it gives at once: from here on larger is not faster.
const pieceBytes = 64 * 1024

/**
 * The content of a gzip file, checked against the CRC of each member. Zeros behind the last member are padding
 * (tapes and block devices leave them); anything else there is damage.
 */
export async function* gunzip(blob: Blob, blockBytes: number): AsyncGenerator<Buffer> {
  const end = yield* inflate(piecesOf(blob, blockBytes))
  if (end.kind === 'complete') return
  if (end.kind === 'cut_off') throw cutOffAt(end.at, 'gzip', { cause: end.cause })
  // zlib keeps to itself what it unpacks in the call that meets the damage. So once more, and from that call on byte by
  // byte: what comes out then does not depend on how the file is divided into calls.
  const exact = yield* inflate(piecesOf(blob, blockBytes, end.at), end.unpackedBytes)
  if (exact.kind === 'damaged') throw damagedAt(exact.at, 'gzip', exact.cause.message, { cause: exact.cause })
  throw new Error(`zlib stopped at byte ${end.at} of the file once and not again`, { cause: end.cause })
}

/** `at` is the byte of the file that the last call of zlib began with. */
type InflateEnd =
  | { kind: 'complete' }
  | { kind: 'cut_off'; at: number; cause: Error }
  | { kind: 'damaged'; at: number; cause: Error; unpackedBytes: number }

async function* inflate(pieces: AsyncIterable<Buffer>, skipBytes = 0): AsyncGenerator<Buffer, InflateEnd> {
  const zlib = createGunzip({ chunkSize: pieceBytes })
  const call: { taken: boolean; fault?: Error; wake?: () => void } = { taken: false }
  zlib.on('readable', () => call.wake?.())
  zlib.on('end', () => call.wake?.())
  zlib.on('error', (fault) => {
    call.fault = fault
    call.wake?.()
  })
  let at = 0
  let unpackedBytes = 0

  /** All that comes of a call. Only then the next one is made: an error throws away what was not yet taken. */
  async function* outputOfCall(): AsyncGenerator<Buffer> {
    for (;;) {
      const output: Buffer | null = zlib.read()
      if (output) {
        const skip = Math.min(output.length, Math.max(0, skipBytes - unpackedBytes))
        unpackedBytes += output.length
        if (skip < output.length) yield output.subarray(skip)
      } else if (call.taken || call.fault || zlib.readableEnded) {
        return
      } else {
        await new Promise<void>((resolve) => {
          call.wake = resolve
        })
      }
    }
  }

  try {
    for await (const piece of pieces) {
      if (zlib.bytesWritten === at) {
        call.taken = false
        zlib.write(piece, (error) => {
          call.taken = !error
          call.wake?.()
        })
        yield* outputOfCall()
        if (call.fault) return { kind: 'damaged', at, cause: call.fault, unpackedBytes }
      }
      // Where padding begins zlib stops without a word, and it would not look at what is behind it.
      const padding = piece.subarray(Math.max(0, zlib.bytesWritten - at))
      const other = padding.findIndex((byte) => byte !== 0)
      at += piece.length
      if (other !== -1) {
        const cause = new Error('there is something else behind zeros')
        return { kind: 'damaged', at: at - padding.length + other, cause, unpackedBytes }
      }
    }
    if (zlib.bytesWritten < at || at === 0) return { kind: 'complete' }
    call.taken = false
    zlib.end()
    yield* outputOfCall()
    return call.fault ? { kind: 'cut_off', at, cause: call.fault } : { kind: 'complete' }
  } finally {
    zlib.destroy()
  }
}

/** @param singlyFrom from where on each byte is a piece */
async function* piecesOf(
  blob: Blob,
  blockBytes: number,
  singlyFrom = Number.POSITIVE_INFINITY,
): AsyncGenerator<Buffer> {
  let at = 0
  for await (const block of blocksOf(blob, blockBytes)) {
    for (let start = 0; start < block.length; ) {
      const end = at < singlyFrom ? Math.min(start + pieceBytes, start + singlyFrom - at) : start + 1
      const piece = block.subarray(start, end)
      yield piece
      start += piece.length
      at += piece.length
    }
  }
}
