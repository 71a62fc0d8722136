import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, realpath, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { errorMessage, type FileVersion, isSameVersion, OperatorError } from '@heapferry/domain'
import type { Blob } from './blob.ts'
import { entriesBelow } from './entries-below.ts'
import type { ExportPlace } from './open-place.ts'
import { sourceChanged } from './source-changed.ts'

/** A folder of this machine as the place of an export. */
export function openFolder(root: string): ExportPlace {
  return {
    root,
    list: () => listFolder(root),
    open: (file, expected) => openFile(root, file, expected),
    put: (file, parts) => putFile(path.join(root, file), parts),
    close() {},
  }
}

/** Hidden files and folders are left out: desktops and editors make them, exports do not. But for those that tell a Hudi table. */
async function listFolder(root: string): Promise<string[]> {
  const entries = await entriesBelow(root).catch((cause: unknown) => {
    throw new OperatorError(
      `${root} cannot be listed: ${errorMessage(cause)}`,
      'Check that this user may read the folder and everything below it.',
      { cause },
    )
  })
  return entries
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
    .filter((file) => !file.split('/').some((part) => part.startsWith('.') && !part.startsWith('.hoodie')))
    .toSorted()
}

/** @throws OperatorError when it is missing, unreadable, or lies outside of the root (links are followed) */
async function openFile(root: string, relativePath: string, expected?: FileVersion): Promise<Blob> {
  const file = await pathInside(root, relativePath)
  const handle = await open(file, constants.O_RDONLY).catch((cause: unknown) => {
    throw new OperatorError(
      `${relativePath} cannot be read: ${errorMessage(cause)}`,
      `Check that ${file} is readable by this user.`,
      { cause },
    )
  })

  async function lookedAt(): Promise<FileVersion> {
    const found = versionOf(await handle.stat())
    const known = { ...found, blocks: await digestOfBlocks(handle, found.sizeBytes) }
    if (expected) assertUnchanged(known, expected)
    return expected ?? known
  }

  function assertUnchanged(now: FileVersion, version: FileVersion): void {
    if (!isSameVersion(version, now)) throw sourceChanged(relativePath, version, now)
  }

  const version = await lookedAt().catch(async (error: unknown) => {
    await handle.close()
    throw error
  })
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
      assertUnchanged(versionOf(await handle.stat()), version)
      if (filled < target.length)
        throw new Error(`${relativePath}: ${at + filled} bytes expected, the file ends earlier`)
    },
    close: () => handle.close(),
  }
}

async function putFile(file: string, parts: readonly Uint8Array[]): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  // Hidden, so that nobody takes for whole what a killed process has left.
  const draft = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}`)
  try {
    await writeFile(draft, parts, { mode: 0o600, flush: true })
    await rename(draft, file)
  } catch (error) {
    // On a full disk it would keep others from going on.
    await rm(draft, { force: true }).catch(() => {})
    throw error
  }
}

/** Job payloads and ledgers can be tampered with: no path of theirs may lead out of the run's source. */
async function pathInside(root: string, relativePath: string): Promise<string> {
  const file = path.resolve(root, relativePath)
  const [realRoot, realFile] = await Promise.all([realpath(root), realpath(file)]).catch((cause: unknown) => {
    throw new OperatorError(
      `${relativePath} cannot be read below ${root}: ${errorMessage(cause)}`,
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

const blockBytes = 4096

/** Of the first, middle and last block. What is changed elsewhere, with size and time kept, is not noticed. */
async function digestOfBlocks(handle: FileHandle, sizeBytes: number): Promise<string> {
  const digest = createHash('sha256')
  const block = Buffer.alloc(blockBytes)
  for (const at of [0, Math.floor((sizeBytes - blockBytes) / 2), sizeBytes - blockBytes]) {
    const { bytesRead } = await handle.read(block, 0, blockBytes, Math.max(0, at))
    digest.update(block.subarray(0, bytesRead))
  }
  return digest.digest('hex').slice(0, 16)
}

function versionOf(stats: { size: number; mtimeMs: number }): FileVersion {
  return { sizeBytes: stats.size, mark: `modified ${new Date(stats.mtimeMs).toISOString()}` }
}
