import { cp, mkdir, mkdtemp, readdir, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../..', import.meta.url))

/** A folder in which setup.mjs finds its dependencies installed, and nothing else of the repository. */
export async function cloneForSetup(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'heapferry-setup-'))
  await mkdir(join(folder, 'node_modules'))
  for (const file of ['setup.mjs', 'package.json', 'package-lock.json'])
    await cp(join(repository, file), join(folder, file))
  await cp(join(folder, 'package-lock.json'), join(folder, 'node_modules', '.package-lock.json'))
  return folder
}

/** A folder for PATH with all programs of this machine but these. */
export async function programsWithout(names: readonly string[], folder: string): Promise<string> {
  await mkdir(folder)
  const seen = new Set(names)
  for (const place of ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin'])
    for (const name of await readdir(place)) {
      if (seen.has(name)) continue
      seen.add(name)
      await symlink(join(place, name), join(folder, name))
    }
  return folder
}
