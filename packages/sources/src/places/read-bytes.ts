import { constants } from 'node:buffer'
import { OperatorError } from '@heapferry/domain'
import type { ExportPlace } from './open-place.ts'

const stepBytes = 8 * 1024 * 1024

/**
 * A whole file, in memory.
 * @throws OperatorError when it is not there, or too large to be held
 */
export async function readBytes(place: ExportPlace, path: string): Promise<Buffer> {
  const blob = await place.open(path)
  try {
    const { sizeBytes } = blob.version
    if (sizeBytes > constants.MAX_LENGTH)
      throw new OperatorError(`${path} has ${sizeBytes} bytes, more than can be held`, 'Is it the right file?')
    // Not from a pool: numbers are read in place, at multiples of eight bytes.
    const bytes = Buffer.allocUnsafeSlow(sizeBytes)
    for (let at = 0; at < sizeBytes; at += stepBytes) {
      await blob.fill(bytes.subarray(at, Math.min(at + stepBytes, sizeBytes)), at)
    }
    return bytes
  } finally {
    await blob.close()
  }
}
