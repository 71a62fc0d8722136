import type { WorkStore } from '@heapferry/domain'
import { openPlace, type S3Options } from './open-place.ts'
import { readBytes } from './read-bytes.ts'

export async function openWorkStore(root: string, s3: S3Options): Promise<WorkStore> {
  const place = await openPlace(root, s3)
  return {
    root: place.root,
    read: (path) => readBytes(place, path),
    put: (path, parts) => place.put(path, parts),
    close: () => place.close(),
  }
}
