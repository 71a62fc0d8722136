import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const version = '5.2.5'
const folder = path.resolve(import.meta.dirname, `../../.heapferry/emulators/moto-${version}`)

/** The command of moto's server, an S3 of other authors. */
export const motoServer = path.join(folder, 'bin/moto_server')

/** Installs moto from PyPI into a virtual environment of its own, once. */
export default async function installMoto(): Promise<void> {
  if (existsSync(path.join(folder, 'complete'))) return
  await rm(folder, { recursive: true, force: true })
  await mkdir(path.dirname(folder), { recursive: true })
  await run('python3', ['-m', 'venv', folder]).catch((cause: unknown) => {
    throw new Error('No virtual environment for Python could be made: install python3 and python3-venv.', { cause })
  })
  await run(path.join(folder, 'bin/pip'), ['install', '--quiet', `moto[server]==${version}`])
  // Told apart from what an interrupted installation leaves.
  await writeFile(path.join(folder, 'complete'), '')
}
