import { createHmac } from 'node:crypto'
import { remembered } from './remembered.ts'

// Longer ones, such as whole rows, seldom come again.
const rememberedChars = 200

/**
 * HMAC-SHA-256 in hex: the same text has the same hash in every column and table, so that hashed values still find each
 * other, and nobody without the salt can try out which text it is of.
 */
export function textHash(salt: string): (text: string) => string {
  const digest = (text: string) => createHmac('sha256', salt).update(text).digest('hex')
  const known = remembered((text) => ({ hash: digest(text) }))
  return (text) => (text.length > rememberedChars ? digest(text) : known(text).hash)
}
