import path from 'node:path'
import { installFromPyPI } from './install-from-pypi.ts'

const folder = 'fakesnow-0.12.1'

/** A Python that has fakesnow, a Snowflake of other authors. */
export const fakesnowPython = path.resolve(import.meta.dirname, `../../.heapferry/emulators/${folder}/bin/python`)

/** Later versions of the connector lack a module that fakesnow imports. */
export default async function installFakesnow(): Promise<void> {
  await installFromPyPI(folder, ['fakesnow[server]==0.12.1', 'snowflake-connector-python==4.8.1'])
}
