import { Buffer } from 'node:buffer'
import { type FileHandle, mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { unwritable } from '@heapferry/domain'
import type { Scratch } from '@heapferry/migration'

/**
 * A file below a folder, made when it is needed, and gone afterwards: also where the process is killed, as it has no name
 * from the beginning on (but on Windows, which keeps it until `close`).
 */
export function openScratch(parent: string): Scratch & { close(): Promise<void> } {
  let opened: Promise<{ handle: FileHandle; folder: string }> | undefined
  let end = 0
  const extents = new Map<number, { at: number; bytes: number }[]>()

  async function made(): Promise<{ handle: FileHandle; folder: string }> {
    await mkdir(parent, { recursive: true, mode: 0o700 })
    const folder = await mkdtemp(path.join(parent, 'scratch-'))
    const handle = await open(path.join(folder, 'parts'), 'wx+', 0o600)
    await rm(folder, { recursive: true, force: true }).catch(() => {})
    return { handle, folder }
  }

  function cannotBeWritten(error: unknown): never {
    throw unwritable(
      error,
      `What memory has no room for cannot be written below ${parent}`,
      'Make room there, or give this user the right to write (HEAPFERRY_HOME says where it is). Then start the same command again.',
    )
  }

  return {
    async append(part, bytes) {
      opened ??= made().catch(cannotBeWritten)
      const { handle } = await opened
      const at = end
      end += bytes.length
      extents.set(part, [...(extents.get(part) ?? []), { at, bytes: bytes.length }])
      let written = 0
      while (written < bytes.length) {
        const rest = bytes.length - written
        written += (await handle.write(bytes, written, rest, at + written).catch(cannotBeWritten)).bytesWritten
      }
    },
    async take(part) {
      const wanted = extents.get(part) ?? []
      extents.delete(part)
      if (!opened || wanted.length === 0) return new Uint8Array()
      const { handle } = await opened
      const all = Buffer.allocUnsafeSlow(wanted.reduce((sum, { bytes }) => sum + bytes, 0))
      let filled = 0
      for (const { at, bytes } of wanted) {
        for (const until = filled + bytes; filled < until; ) {
          const { bytesRead } = await handle.read(all, filled, until - filled, at + bytes - (until - filled))
          if (bytesRead === 0) throw new Error(`the scratch file in ${parent} is shorter than what was written to it`)
          filled += bytesRead
        }
      }
      // Where nothing is left, the room is used again.
      if (extents.size === 0) end = 0
      return all
    },
    async close() {
      if (!opened) return
      const { handle, folder } = await opened
      await handle.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
