import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'

/**
 * All below a folder that is no folder itself. Links are given as they are, and not followed: by `recursive` Node.js 26 follows
 * those to folders, and Node.js 20 does not.
 */
export async function entriesBelow(folder: string): Promise<Dirent[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const found = await Promise.all(
    entries.map(async (entry) => (entry.isDirectory() ? entriesBelow(path.join(folder, entry.name)) : [entry])),
  )
  return found.flat()
}
