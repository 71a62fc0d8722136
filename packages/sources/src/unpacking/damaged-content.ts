import type { Compression } from '@heapferry/domain'
import { UnusableFile } from '../unusable-file.ts'

/** Packed data that cannot be unpacked any further; everything before the damage has been handed out. */
export class DamagedContent extends Error {
  override name = 'DamagedContent'
}

/** @param at the byte of the file, not of what it unpacks to */
export function damagedAt(at: number, compression: Compression, what: string, options?: ErrorOptions): DamagedContent {
  return new DamagedContent(`the ${compression} data is damaged at byte ${at} of the file: ${what}`, options)
}

/** @param at the size of the file */
export function cutOffAt(at: number, compression: Compression, options?: ErrorOptions): DamagedContent {
  return new DamagedContent(`the ${compression} data ends in the middle, at byte ${at} of the file`, options)
}

/** A file of which damage leaves no row looks like an empty one, which has nothing to migrate. It is none. */
export function damagedBeforeRows(damage: string): UnusableFile {
  return new UnusableFile(
    `no row can be read before its damage: ${damage}`,
    'Copy the file again, or export the table again.',
  )
}
