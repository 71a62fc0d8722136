import {
  PostHogVerification,
  SourceVerification,
  VerificationUnderWay,
  type VerificationLedger,
} from '@heapferry/domain'
import { z } from 'zod'
import { defineScript } from '../define-script.ts'
import { keysOf } from '../keys.ts'
import type { Redis } from '../redis-client.ts'
import { redisNowMs } from '../redis-clock.ts'
import { sentEvents } from '../sent-fields.ts'
import { unpackedEvent, packedEvent } from '../verified-events.ts'
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

// As for retries: long enough for a Redis that restarts.
const holdMs = 10_000

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

    async setVerification(run, verification, events = []) {
      const { kind, verdict, by, verified_at } = verification
      await setVerificationScript(redis, {
        keys: runKeys(run),
        args: { kind, json: JSON.stringify(verification) },
        each: events.map((one) => ({ field: fieldOf(one.event), packed: packedEvent(one) })),
      })
      await record(run, { kind: 'verified', atMs: Date.parse(verified_at), by, against: kind, verdict })
    },

    async verifications(run) {
      const [posthog, source] = await redis.hmget(runKeys(run).verifications, 'posthog', 'source')
      return { posthog: parsed(PostHogVerification, posthog), source: parsed(SourceVerification, source) }
    },

    async verifiedEvents(run, events) {
      const asked = [null, ...events]
      const packed = await redis.hmget(runKeys(run).verified, ...asked.map(fieldOf))
      return asked.flatMap((event, nth) => {
        const found = packed[nth] ?? null
        return found === null ? [] : [unpackedEvent(event, found)]
      })
    },

    async takeVerification({ run, token }, by) {
      const begun: VerificationUnderWay = { by, sinceMs: await redisNowMs(redis, run), progress: { kind: 'asking' } }
      const args = { value: `${token} ${JSON.stringify(begun)}`, holdMs }
      const held = await takeVerificationScript(redis, { keys: runKeys(run), args })
      return underWay(typeof held === 'string' ? held : null)
    },

    async keepVerification({ run, token }, progress) {
      const args = { token, progress: JSON.stringify(progress), holdMs }
      return (await keepVerificationScript(redis, { keys: runKeys(run), args })) === 1
    },

    async verificationUnderWay(run) {
      return underWay(await redis.get(runKeys(run).verifying))
    },

    async endVerification({ run, token }) {
      await endVerificationScript(redis, { keys: runKeys(run), args: { token } })
    },
  }
}

function fieldOf(event: string | null): string {
  return event === null ? 'all' : `event|${event}`
}

function underWay(held: string | null): VerificationUnderWay | null {
  return held === null ? null : parsed(VerificationUnderWay, held.slice(held.indexOf(' ') + 1))
}

const setVerificationScript = defineScript({
  keys: ['verifications', 'verified'],
  args: ['kind', 'json'],
  each: { args: ['field', 'packed'] },
  lua: `
redis.call('HSET', verifications, kind, json)
if kind == 'posthog' then redis.call('DEL', verified) end
for field, packed in each() do redis.call('HSET', verified, field, packed) end
`,
})

/** Answers null, or what stands there of who has the right. */
const takeVerificationScript = defineScript({
  keys: ['verifying'],
  args: ['value', 'holdMs'],
  lua: `
local held = redis.call('GET', verifying)
if not held then redis.call('SET', verifying, value, 'PX', holdMs) end
return held
`,
})

const heldBy = `
local held = redis.call('GET', verifying)
if not held or string.sub(held, 1, #token + 1) ~= token .. ' ' then return 0 end`

const keepVerificationScript = defineScript({
  keys: ['verifying'],
  args: ['token', 'progress', 'holdMs'],
  lua: `
${heldBy}
local begun = cjson.decode(string.sub(held, #token + 2))
begun.progress = cjson.decode(progress)
redis.call('SET', verifying, token .. ' ' .. cjson.encode(begun), 'PX', holdMs)
return 1
`,
})

const endVerificationScript = defineScript({
  keys: ['verifying'],
  args: ['token'],
  lua: `
${heldBy}
redis.call('DEL', verifying)
return 1
`,
})

/** Together, or a commit between the two would make counts look incomplete. A MULTI would be refused by a Redis that is full. */
const countsScript = defineScript({
  keys: ['sent', 'totals'],
  lua: "return { redis.call('HGETALL', sent), redis.call('HGETALL', totals) }",
})
