import { hash } from 'node:crypto'

const hexOfBytes: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** The lowest byte of a number. A time in one piece is more than V8 has a quick way to write in hex. */
function hexOf(number: number): string {
  return hexOfBytes[number & 0xff] ?? ''
}

/**
 * A UUIDv7 whose 48-bit time is `timeMs` and whose other 74 bits are those of `tail`: the same for the same arguments, on
 * every machine. PostHog deduplicates by it and reads the time of sessions from it.
 */
export function uuidV7(timeMs: number, tail: string): string {
  const high = Math.floor(timeMs / 2 ** 24)
  const low = timeMs % 2 ** 24
  return `${hexOf(high >> 16)}${hexOf(high >> 8)}${hexOf(high)}${hexOf(low >> 16)}-${hexOf(low >> 8)}${hexOf(low)}${tail}`
}

/** Everything of a UUIDv7 behind its time: from SHA-256 of `name`, which must say of what kind of thing it is the name. */
export function uuidTail(name: string): string {
  const random = hash('sha256', name, 'hex')
  const variant = '89ab'.charAt(Number.parseInt(random.charAt(3), 16) & 3)
  return `-7${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(7, 19)}`
}
