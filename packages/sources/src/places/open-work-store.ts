import { chmod, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { OperatorError, unwritable, type WorkStore } from '@heapferry/domain'
import { isBucket, openPlace, type S3Options } from './open-place.ts'
import { readBytes } from './read-bytes.ts'

export async function openWorkStore(root: string, s3: S3Options): Promise<WorkStore> {
  const place = await openPlace(root, s3)
  const isFolder = !isBucket(place.root)

  async function put(path: string, parts: readonly Uint8Array[]): Promise<void> {
    await place.put(path, parts).catch((error: unknown) => {
      throw unwritable(
        error,
        `The work store ${place.root} cannot be written to`,
        'Make room there or give this user the right to write, or name another place in HEAPFERRY_WORK_STORE (for producers and workers alike). Then start the same command again.',
      )
    })
    if (isFolder) await closeToOthers(dirname(join(place.root, path)))
  }

  return {
    root: place.root,
    read: (path) => readBytes(place, path),
    async open(path) {
      const blob = await place.open(path)
      return {
        sizeBytes: blob.version.sizeBytes,
        async read(at, bytes) {
          const part = Buffer.allocUnsafeSlow(bytes)
          await blob.fill(part, at)
          return part
        },
        close: () => blob.close(),
      }
    },
    put,
    async putTable(path, parts) {
      await put(path, parts)
      // What is written again after a crash is the same file to those who were told of it. An ETag is made of the bytes.
      if (isFolder) await utimes(join(place.root, path), 0, 0)
      const blob = await place.open(path)
      await blob.close()
      return blob.version
    },
    close: () => place.close(),
  }
}

/** It may have been there before, with whatever mode. */
async function closeToOthers(folder: string): Promise<void> {
  const { mode } = await stat(folder)
  if ((mode & 0o077) === 0) return
  await chmod(folder, 0o700).catch((cause: unknown) => {
    throw new OperatorError(
      `Others may look into ${folder}, which belongs to somebody else`,
      'It will hold ids of people. Have its owner close it (chmod 700), or choose another HEAPFERRY_WORK_STORE.',
      { cause },
    )
  })
}
