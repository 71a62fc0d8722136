import { appendFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Scratch } from '@heapferry/migration'

/** Files below a folder, made when they are needed, and gone afterwards. */
export function openScratch(parent: string): Scratch & { close(): Promise<void> } {
  let folder: string | undefined
  const parts = new Set<number>()
  const fileOf = (part: number): string => path.join(folder ?? '', String(part))
  return {
    async append(part, bytes) {
      if (folder === undefined) {
        await mkdir(parent, { recursive: true, mode: 0o700 })
        folder = await mkdtemp(path.join(parent, 'verify-'))
      }
      await appendFile(fileOf(part), bytes, { mode: 0o600 })
      parts.add(part)
    },
    async take(part) {
      if (!parts.delete(part)) return new Uint8Array()
      const bytes = await readFile(fileOf(part))
      await rm(fileOf(part))
      return bytes
    },
    async close() {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}
