import { writeFile } from 'node:fs/promises'
import path from 'node:path'

/** Flags of a run that has the rows of its export and no others, for tests that count them. */
export async function withoutFirstTouch(folder: string): Promise<string[]> {
  const mapping = path.join(folder, 'rows-alone.yaml')
  await writeFile(mapping, 'first_touch: skip\n')
  return ['--mapping', mapping]
}
