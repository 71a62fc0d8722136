import { createHash } from 'node:crypto'
import type { Chunk } from '@heapferry/domain'

/**
 * What was planned of a chunk, in 8 characters: a terabyte has 125,000 chunks, and all of their digests are in Redis.
 * It finds what was altered, not who could alter the ledger as well.
 */
export function chunkDigest({ range, firstRow, rows }: Pick<Chunk, 'range' | 'firstRow' | 'rows'>): string {
  const place = range.kind === 'whole' ? [] : [range.start, range.end]
  const text = JSON.stringify([range.kind, ...place, firstRow, rows])
  return createHash('sha256').update(text).digest('base64').slice(0, 8)
}
