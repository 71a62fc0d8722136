import { type RejectedLedger, RejectedRow } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { keysOf, rowField, rowOfField } from '../keys.ts'
import { scanHash, scannedAtOnce } from './scan-hash.ts'

export function rejectedLedger(redis: Redis): RejectedLedger {
  const { runKeys } = keysOf(redis)
  return {
    async *rejectedRows(run) {
      const seen = new SeenRows()
      for await (const pairs of scanHash(redis, runKeys(run).rejected)) {
        for (const [field, json] of pairs) {
          if (seen.add(field)) yield RejectedRow.parse(JSON.parse(json))
        }
      }
    },

    async rejectedAt(run, rows) {
      if (rows.length === 0) return []
      const stored = await redis.hmget(runKeys(run).rejected, ...rows.map(rowField))
      return stored.map((json) => (json === null ? null : RejectedRow.parse(JSON.parse(json))))
    },

    async *retriedRows(run) {
      const seen = new SeenRows()
      let cursor = '0'
      do {
        const [next, fields] = await redis.sscan(runKeys(run).retried, cursor, 'COUNT', scannedAtOnce)
        for (const field of fields) if (seen.add(field)) yield rowOfField(field)
        cursor = next
      } while (cursor !== '0')
    },
  }
}

/** A million rows in a few ten megabytes: their numbers by chunk, not their names. */
class SeenRows {
  readonly #rows = new Map<string, Set<number>>()

  /** @returns false for a row that was there already */
  add(field: string): boolean {
    const colon = field.indexOf(':')
    const chunk = field.slice(0, colon)
    const row = Number(field.slice(colon + 1))
    const rows = this.#rows.get(chunk) ?? new Set()
    if (rows.size === 0) this.#rows.set(chunk, rows)
    if (rows.has(row)) return false
    rows.add(row)
    return true
  }
}
