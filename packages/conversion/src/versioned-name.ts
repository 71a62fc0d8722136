/** Heap's `platform` and `browser` hold a family and its version in one text. */
export interface VersionedName {
  family: string
  version: string | undefined
}

/** The only families that end in a number of their own. */
const numberedFamilies: ReadonlySet<string> = new Set(['Nokia Series 40', 'Nokia Series 30 Plus'])

/**
 * Splits `Chrome Mobile iOS 120.0.6099` before its version. Families have spaces and digits too (`3 Robot 2`), many values
 * have no version, and a patch that is not a number is set apart by a space (`Android 2.1 update1`).
 */
export function splitVersioned(text: string): VersionedName {
  const value = text.trim()
  if (numberedFamilies.has(value)) return { family: value, version: undefined }
  const [, edition] = /^Windows ((?:XP|Vista|ME|NT|CE|RT)(?: \d[\w.]*)?)$/.exec(value) ?? []
  if (edition !== undefined) return { family: 'Windows', version: edition }
  const [, family, version] = /^(.+?) (\d+(?:\.[0-9A-Za-z_\-+]+)*(?: [0-9A-Za-z][0-9A-Za-z.+-]*)?)$/.exec(value) ?? []
  return family === undefined ? { family: value, version: undefined } : { family, version }
}
