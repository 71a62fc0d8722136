import { unwritable, type WorkStore } from '@heapferry/domain'
import { openPlace, type S3Options } from './open-place.ts'
import { readBytes } from './read-bytes.ts'

export async function openWorkStore(root: string, s3: S3Options): Promise<WorkStore> {
  const place = await openPlace(root, s3)
  return {
    root: place.root,
    read: (path) => readBytes(place, path),
    put: (path, parts) =>
      place.put(path, parts).catch((error: unknown) => {
        throw unwritable(
          error,
          `The work store ${place.root} cannot be written to`,
          'Make room there or give this user the right to write, or name another place in HEAPFERRY_WORK_STORE (for producers and workers alike). Then start the same command again.',
        )
      }),
    close: () => place.close(),
  }
}
