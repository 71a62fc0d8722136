import { PostHogVerification, SourceVerification, type VerificationLedger } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { z } from 'zod'
import { defineScript } from '../define-script.ts'
import { keysOf } from '../keys.ts'
import { sentEvents } from '../sent-fields.ts'
import { parsed } from './parsed.ts'
import { tablesOf } from './tables-of.ts'
import { timelineLedger } from './timeline-ledger.ts'

const Hash = z
  .array(z.string())
  .transform((flat) =>
    Object.fromEntries(
      Array.from({ length: flat.length / 2 }, (_, nth) => [flat[nth * 2] ?? '', flat[nth * 2 + 1] ?? '']),
    ),
  )
const Hashes = z.tuple([Hash, Hash])

export function verificationLedger(redis: Redis): VerificationLedger {
  const { runKeys } = keysOf(redis)
  const { record } = timelineLedger(redis)

  return {
    async sentTables(run) {
      const [fields, counters] = Hashes.parse(await countsScript(redis, { keys: runKeys(run), args: {} }))
      const events = sentEvents(fields)
      return tablesOf(counters)
        .filter(({ tally }) => tally.sent > 0)
        .map(({ table, tally }) => ({ table, rows: tally.sent, events: events.get(table) ?? [] }))
    },

    async setVerification(run, verification) {
      const { kind, verdict, by, verified_at } = verification
      await redis.hset(runKeys(run).verifications, kind, JSON.stringify(verification))
      await record(run, { kind: 'verified', atMs: Date.parse(verified_at), by, against: kind, verdict })
    },

    async verifications(run) {
      const [posthog, source] = await redis.hmget(runKeys(run).verifications, 'posthog', 'source')
      return { posthog: parsed(PostHogVerification, posthog), source: parsed(SourceVerification, source) }
    },
  }
}

/** Together, or a commit between the two would make counts look incomplete. A MULTI would be refused by a Redis that is full. */
const countsScript = defineScript({
  keys: ['sent', 'totals'],
  lua: "return { redis.call('HGETALL', sent), redis.call('HGETALL', totals) }",
})
