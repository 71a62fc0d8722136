import { hash } from 'node:crypto'

/**
 * A UUIDv7 whose 48-bit time is `timeMs` and whose other 74 bits are those of `tail`: the same for the same arguments, on
 * every machine. PostHog deduplicates by it and reads the time of sessions from it.
 */
export function uuidV7(timeMs: number, tail: string): string {
  const time = timeMs.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}${tail}`
}

/** Everything of a UUIDv7 behind its time: from SHA-256 of `name`, which must say of what kind of thing it is the name. */
export function uuidTail(name: string): string {
  const random = hash('sha256', name, 'hex')
  const variant = '89ab'.charAt(Number.parseInt(random.charAt(3), 16) & 3)
  return `-7${random.slice(0, 3)}-${variant}${random.slice(4, 7)}-${random.slice(7, 19)}`
}
