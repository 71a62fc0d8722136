import type { FileVersion } from '@heapferry/domain'
import type { FileFormat, OpenFile } from './file-format.ts'

/** As the producer counts them, which reads all of the file. */
export async function countCut(
  opened: OpenFile,
  cut: FileFormat['cut'],
  { unpackedBytes, maxBytes }: { unpackedBytes: number; maxBytes: number },
): Promise<number | null> {
  if (unpackedBytes > maxBytes) return null
  let rows = 0
  for await (const piece of cut(opened, chunkBytes)) rows += piece.rows
  return rows
}

const chunkBytes = 8 * 1024 * 1024

// Text of tables shrinks to about an eighth.
const packedToAnEighth = 8

/** What a packed file holds, roughly. */
export function unpackedBytesOf({ sizeBytes }: FileVersion): number {
  return sizeBytes * packedToAnEighth
}
