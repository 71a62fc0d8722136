import { createHash } from 'node:crypto'
import { type ExportFile, OperatorError } from '@heapferry/domain'
import type { ExportPlace } from './open-place.ts'

const stepBytes = 4 * 1024 * 1024

/** SHA-256 of a file as it lies there, in hex; null where it is not the one that was planned any more, or gone. */
export async function checksumOf(place: ExportPlace, { path, version }: ExportFile): Promise<string | null> {
  try {
    const blob = await place.open(path, version)
    try {
      const hash = createHash('sha256')
      const step = Buffer.allocUnsafeSlow(Math.min(stepBytes, version.sizeBytes))
      for (let at = 0; at < version.sizeBytes; at += stepBytes) {
        const part = step.subarray(0, Math.min(stepBytes, version.sizeBytes - at))
        await blob.fill(part, at)
        hash.update(part)
      }
      return hash.digest('hex')
    } finally {
      await blob.close()
    }
  } catch (error) {
    if (error instanceof OperatorError) return null
    throw error
  }
}
