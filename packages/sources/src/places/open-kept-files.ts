import { lstat, realpath, rmdir, unlink } from 'node:fs/promises'
import path from 'node:path'
import { errorMessage, type KeptFiles, OperatorError, type RunId } from '@heapferry/domain'
import { entriesBelow } from './entries-below.ts'
import type { S3Options } from './open-place.ts'

/** The files of a work store, to be deleted. @throws OperatorError when `root` is no place */
export async function openKeptFiles(root: string, s3: S3Options): Promise<KeptFiles> {
  if (!root.startsWith('s3://')) return keptInFolder(root)
  const { openKeptObjects } = await import('./s3/open-kept-objects.ts')
  return openKeptObjects(root, s3)
}

/** The folders in which files are kept of a run. */
export function keptFolders(run: RunId): string[] {
  return [run, '.grants']
}

function keptInFolder(root: string): KeptFiles {
  return {
    root,
    async ofRun(run) {
      const files = await Promise.all(keptFolders(run).map((folder) => filesBelow(root, folder)))
      return files.flat()
    },
    async remove(file) {
      try {
        await unlink(path.join(root, file))
      } catch (error) {
        if (hasCode(error, 'ENOENT')) return
        throw new OperatorError(
          `${path.join(root, file)} cannot be deleted: ${errorMessage(error)}`,
          'Start the same command as the user who ran producer and workers. What is deleted already stays deleted.',
          { cause: error },
        )
      }
      await removeEmpty(root, path.dirname(file))
    },
    close() {},
  }
}

/** Links are no files of ours. */
async function filesBelow(root: string, folder: string): Promise<{ path: string; sizeBytes: number }[]> {
  const entries = await entriesBelow(path.join(root, folder)).catch((cause: unknown) => {
    if (hasCode(cause, 'ENOENT')) return []
    throw new OperatorError(
      `${path.join(root, folder)} cannot be listed: ${errorMessage(cause)}`,
      'Start the same command as the user who ran producer and workers.',
      { cause },
    )
  })
  if (entries.length > 0) await assertInside(root, folder)
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
  return Promise.all(
    files.toSorted().map(async (file) => ({
      path: path.relative(root, file).split(path.sep).join('/'),
      sizeBytes: (await lstat(file)).size,
    })),
  )
}

/** Also where the folder of the run is a link: what it leads to may hold more than was put there for the run. */
async function assertInside(root: string, folder: string): Promise<void> {
  const [realRoot, realFolder] = await Promise.all([realpath(root), realpath(path.join(root, folder))])
  if (path.relative(realRoot, realFolder).split(path.sep)[0] !== '..') return
  throw new OperatorError(
    `${path.join(root, folder)} leads out of the work store, to ${realFolder}, and nothing was deleted`,
    `Delete what is there by hand, if it is not needed any more.`,
  )
}

async function removeEmpty(root: string, folder: string): Promise<void> {
  if (folder === '.') return
  try {
    await rmdir(path.join(root, folder))
  } catch {
    // Something else is in it, which is not ours to delete.
    return
  }
  await removeEmpty(root, path.dirname(folder))
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
