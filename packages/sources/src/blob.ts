import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, realpath } from 'node:fs/promises'
import path from 'node:path'
import { FileId, type FileVersion, OperatorError, SourceChanged } from '@heapferry/domain'

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

export function fileIdOf(relativePath: string): FileId {
  return FileId.parse(createHash('sha256').update(relativePath).digest('hex').slice(0, 12))
}

/**
 * Opens a file below the root of a run.
 * @throws OperatorError when it is missing, unreadable, or lies outside of the root (links are followed)
 */
export async function openFile(root: string, relativePath: string, expected?: FileVersion): Promise<Blob> {
  const file = await pathInside(root, relativePath)
  const handle = await open(file, constants.O_RDONLY).catch((cause: unknown) => {
    throw new OperatorError(
      `${relativePath} cannot be read: ${messageOf(cause)}`,
      `Check that ${file} is readable by this user.`,
      { cause },
    )
  })
  const found = versionOf(await handle.stat())
  const version = expected ?? found

  function assertUnchanged(now: FileVersion): void {
    if (now.sizeBytes === version.sizeBytes && now.mtimeMs === version.mtimeMs) return
    throw new SourceChanged(
      `${relativePath} has changed since it was planned: ${describe(version)} then, ${describe(now)} now`,
      'Put the original file back, or start another run with --run NAME: rows that were sent already keep their uuids.',
    )
  }

  try {
    assertUnchanged(found)
  } catch (error) {
    await handle.close()
    throw error
  }
  return {
    version,
    async fill(target, at) {
      let filled = 0
      while (filled < target.length) {
        const { bytesRead } = await handle.read(target, filled, target.length - filled, at + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      // After the read, so that no byte of another version is handed out.
      assertUnchanged(versionOf(await handle.stat()))
      if (filled < target.length)
        throw new Error(`${relativePath}: ${at + filled} bytes expected, the file ends earlier`)
    },
    close: () => handle.close(),
  }
}

/** Job payloads and ledgers can be tampered with: no path of theirs may lead out of the run's source. */
async function pathInside(root: string, relativePath: string): Promise<string> {
  const file = path.resolve(root, relativePath)
  const [realRoot, realFile] = await Promise.all([realpath(root), realpath(file)]).catch((cause: unknown) => {
    throw new OperatorError(
      `${relativePath} cannot be read below ${root}: ${messageOf(cause)}`,
      'Check that the export is still where it was planned, and mounted at the same path on every machine with workers.',
      { cause },
    )
  })
  if (realFile !== realRoot && !realFile.startsWith(realRoot.endsWith(path.sep) ? realRoot : realRoot + path.sep)) {
    throw new OperatorError(
      `${relativePath} leads out of the export (${realRoot})`,
      'Copy the file into the export folder instead of linking to it.',
    )
  }
  return realFile
}

function versionOf(stats: { size: number; mtimeMs: number }): FileVersion {
  return { sizeBytes: stats.size, mtimeMs: Math.trunc(stats.mtimeMs) }
}

function describe(version: FileVersion): string {
  return `${version.sizeBytes} bytes of ${new Date(version.mtimeMs).toISOString()}`
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
