import type { Compression } from '@heapferry/domain'

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
