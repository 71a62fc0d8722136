import { readFileSync } from 'node:fs'

/** A file for browsers, as text. The build copies their folder beside its pieces, so one address finds them in both. */
export function browserFile(name: string): string {
  return readFileSync(new URL(`browser/${name}`, import.meta.url), 'utf8')
}
