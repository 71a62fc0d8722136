import path from 'node:path'
import { installFromPyPI } from './install-from-pypi.ts'

const version = '5.2.5'
const folder = `moto-${version}`

/** The command of moto's server, an S3 of other authors. */
export const motoServer = path.resolve(import.meta.dirname, `../../.heapferry/emulators/${folder}/bin/moto_server`)

export default async function installMoto(): Promise<void> {
  await installFromPyPI(folder, [`moto[server]==${version}`])
}
