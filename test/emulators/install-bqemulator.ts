import path from 'node:path'
import { installFromPyPI } from './install-from-pypi.ts'

const version = '1.4.0'
const folder = `bqemulator-${version}`

/** A Python that has bqemulator, a BigQuery of other authors. */
export const bqemulatorPython = path.resolve(import.meta.dirname, `../../.heapferry/emulators/${folder}/bin/python`)

export default async function installBqemulator(): Promise<void> {
  // It needs numpy, and does not say so.
  await installFromPyPI(folder, [`bqemulator==${version}`, 'numpy==2.4.6'])
}
