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
  return picomatch(pattern, { dot: true })(pattern.includes('/') ? file : name)
}
