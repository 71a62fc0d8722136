import path from 'node:path'
import type { Mapping } from '@heapferry/domain'
import picomatch from 'picomatch'

/** The table that the mapping file says a file belongs to; undefined where it says nothing of it. */
export function tableSaidOf(mapping: Mapping, file: string): string | undefined {
  return Object.entries(mapping.files).find(([pattern]) => fits(pattern, file))?.[1]
}

/** Whether a pattern means a file: its path or its name as it stands, else by the signs of a glob. */
export function fits(pattern: string, file: string): boolean {
  const name = path.posix.basename(file)
  if (pattern === file || pattern === name) return true
  return matcherOf(pattern)(pattern.includes('/') ? file : name)
}

// Those of a mapping file, which are not compiled anew for each of thousands of files.
const matchers = new Map<string, (path: string) => boolean>()

function matcherOf(pattern: string): (path: string) => boolean {
  // Brackets are part of names: `clicks (1).csv`, and what repeats could take for ever.
  const matches = matchers.get(pattern) ?? picomatch(pattern, { dot: true, noextglob: true })
  matchers.set(pattern, matches)
  return matches
}
