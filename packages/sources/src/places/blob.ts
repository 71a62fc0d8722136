import type { FileVersion } from '@heapferry/domain'

/** Bytes at known offsets of something that must not change while it is read. */
export interface Blob {
  readonly version: FileVersion
  /**
   * Fills the whole target with the bytes from `at` on.
   * @throws SourceChanged when the bytes are no longer those of `version`
   */
  fill(target: Buffer, at: number): Promise<void>
  close(): Promise<void>
}

/** What most files tell of themselves takes less: a header of 450 columns 10 kB as CSV and 40 kB as Avro. */
export const beginningBytes = 64 * 1024

/** With so many of its first bytes at hand; closed where they cannot be fetched. */
export async function begun(blob: Blob, bytes: number): Promise<Blob> {
  try {
    return await holding(blob, 0, bytes)
  } catch (error) {
    await blob.close()
    throw error
  }
}

/** With some of its bytes at hand, fetched at once. */
export async function holding(blob: Blob, start: number, end: number): Promise<Blob> {
  const held = Buffer.allocUnsafe(end - start)
  await blob.fill(held, start)
  return {
    ...blob,
    async fill(target, at) {
      const known = at >= start && at < end ? held.copy(target, 0, at - start) : 0
      if (known < target.length) await blob.fill(target.subarray(known), at + known)
    },
  }
}
