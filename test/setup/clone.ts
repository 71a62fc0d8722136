import { cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repository = fileURLToPath(new URL('../..', import.meta.url))

/** A folder in which setup.mjs finds its dependencies installed and the command compiled, and nothing else. */
export async function cloneForSetup(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'heapferry-setup-'))
  await mkdir(join(folder, 'node_modules'))
  for (const file of ['setup.mjs', 'build.mjs', 'package.json', 'package-lock.json'])
    await cp(join(repository, file), join(folder, file))
  for (const name of ['packages', 'apps', 'dist']) await mkdir(join(folder, name))
  await writeFile(join(folder, 'dist', 'heapferry.mjs'), '')
  await cp(join(folder, 'package-lock.json'), join(folder, 'node_modules', '.package-lock.json'))
  return folder
}
