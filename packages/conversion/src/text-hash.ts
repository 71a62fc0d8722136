import { createHmac } from 'node:crypto'
import { remembered } from './remembered.ts'

/**
 * HMAC-SHA-256 in hex: the same text has the same hash in every column and table, so that hashed values still find each
 * other, and nobody without the salt can try out which text it is of.
 */
export function textHash(salt: string): (text: string) => string {
  const hashes = remembered((text) => ({ hash: createHmac('sha256', salt).update(text).digest('hex') }))
  return (text) => hashes(text).hash
}
