import { createHash } from 'node:crypto'

/** What a run keeps of its salt: enough to know it again, nothing to hash with. */
export function fingerprintOfSalt(hashSalt: string | null): string | null {
  if (hashSalt === null) return null
  return createHash('sha256').update(`heapferry hash salt\0${hashSalt}`).digest('hex').slice(0, 16)
}
