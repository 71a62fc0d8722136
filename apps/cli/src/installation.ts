import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheFolder } from '@heapferry/config'

const here = path.dirname(fileURLToPath(import.meta.url))
const folder = path.resolve(here, path.basename(here) === 'dist' ? '..' : '../../..')
const isClone = existsSync(path.join(folder, 'setup.mjs'))

/** Where programs are put that this machine lacks: a clone keeps them below itself, a package must not be written to. */
export const programsFolder = isClone ? path.join(folder, '.heapferry') : cacheFolder()

/** What is typed before the name of a command. */
export const typed = isClone ? 'npm start --' : 'npx heapferry'

/** Where the code of this very program lies: compiled, or the sources. */
export const codeFolders =
  path.basename(here) === 'dist' ? [here] : [path.join(folder, 'apps'), path.join(folder, 'packages')]
