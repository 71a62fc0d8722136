import { hasLostDigits } from './canonical-id.ts'
import { storableText } from './storable-text.ts'

/** PostHog's limit, in UTF-8 bytes. */
const distinctIdMaxBytes = 200

/**
 * PostHog refuses to merge these, whatever their case and also in quotes: they are what broken integrations send for
 * everybody at once. The union of what its person processing and its newer capture endpoint list.
 */
const illegalIds: ReadonlySet<string> = new Set([
  '0',
  '00000000-0000-0000-0000-000000000000',
  '[object object]',
  'anonymous',
  'anonymous-user',
  'backend',
  'distinct_id',
  'distinctid',
  'email',
  'false',
  'guest',
  'id',
  'nan',
  'none',
  'not_authenticated',
  'null',
  'system',
  'true',
  'undefined',
  'user',
])

/**
 * The identity in a cell, null where there is none. Whoever compares identities reads them by this: in two spellings one
 * person would look like two.
 */
export function identityIn(text: string | null): string | null {
  const identity = text === null ? '' : storableText(text).trim()
  return identity === '' ? null : identity
}

export type DistinctIdFault =
  | { kind: 'illegal' }
  /** A number that has lost digits: it stands for many. */
  | { kind: 'damaged' }
  | { kind: 'too_long'; bytes: number }

/** Why PostHog would not take `id` as the name of one person; undefined when it would. */
export function distinctIdFault(id: string): DistinctIdFault | undefined {
  // No UTF-16 unit takes more than three bytes: nearly all ids need no counting.
  const bytes = id.length * 3 <= distinctIdMaxBytes ? 0 : utf8Bytes(id)
  if (bytes > distinctIdMaxBytes) return { kind: 'too_long', bytes }
  if (hasLostDigits(id)) return { kind: 'damaged' }
  const trimmed = id.trim().toLowerCase()
  const bare = /^(['"])(.+)\1$/.exec(trimmed)?.[2] ?? trimmed
  return trimmed === '' || illegalIds.has(bare) ? { kind: 'illegal' } : undefined
}

export function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length
}
