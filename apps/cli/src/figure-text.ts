import { type Figure, grouped } from '@heapferry/migration'

/** `~` stands before what was estimated. */
export function figure({ count, exact }: Figure): string {
  return `${exact ? '' : '~'}${grouped(count)}`
}

/** `1.2 GB`: powers of ten, as storage is sold and shown by most. */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3))
  const value = bytes / 1000 ** power
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`
}
