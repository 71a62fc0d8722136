import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Installs packages into a virtual environment of their own, once. */
export async function installFromPyPI(name: string, packages: readonly string[]): Promise<void> {
  const folder = path.resolve(import.meta.dirname, '../../.heapferry/emulators', name)
  if (existsSync(path.join(folder, 'complete'))) return
  await rm(folder, { recursive: true, force: true })
  await mkdir(path.dirname(folder), { recursive: true })
  await run('python3', ['-m', 'venv', folder]).catch((cause: unknown) => {
    throw new Error('No virtual environment for Python could be made: install python3 and python3-venv.', { cause })
  })
  await run(path.join(folder, 'bin/pip'), ['install', '--quiet', ...packages])
  // Told apart from what an interrupted installation leaves.
  await writeFile(path.join(folder, 'complete'), '')
}
