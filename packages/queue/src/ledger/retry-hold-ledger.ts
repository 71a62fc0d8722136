import { OperatorError, type RetryHoldLedger, RetryOutcome, RetryWanted } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { defineScript } from '../define-script.ts'
import { keysOf } from '../keys.ts'
import { redisClock, redisNowMs } from '../redis-clock.ts'

// Long enough for a Redis that restarts; after a kill -9 the next retry waits no longer than that.
const holdMs = 10_000

export function retryHoldLedger(redis: Redis): RetryHoldLedger {
  const { runKeys } = keysOf(redis)
  return {
    async takeRetry({ run, token }, by, wanted = {}) {
      const entry = JSON.stringify({ kind: 'retry_wanted', by, ...RetryWanted.parse(wanted) })
      const held = await takeRetryScript(redis, { keys: runKeys(run), args: { token, who: by, holdMs, entry } })
      return Array.isArray(held) ? { by: String(held[0]), sinceMs: Number(held[1]) } : null
    },

    async keepRetry({ run, token }, progress) {
      const args = { token, holdMs, rows: progress?.rows ?? '', looked: progress?.looked ?? 0 }
      assertHeld(await keepRetryScript(redis, { keys: runKeys(run), args }))
    },

    async retryUnderWay(run) {
      const [fields, nowMs] = await Promise.all([redis.hgetall(runKeys(run).retry), redisNowMs(redis, run)])
      const untilMs = Number(fields.untilMs ?? 0)
      if (untilMs <= nowMs || untilMs > nowMs + holdMs) return null
      const reasons = Object.entries(fields).flatMap(([field, rows]) =>
        field.startsWith('reason|') ? [[field.slice('reason|'.length), Number(rows)]] : [],
      )
      const { by = '', atMs, rows, looked = 0, sent = 0, skipped = 0, rejected = 0 } = fields
      return {
        by,
        sinceMs: Number(atMs),
        untilMs,
        rows: rows === undefined ? null : Number(rows),
        looked: Number(looked),
        outcome: RetryOutcome.parse({
          reasons: Object.fromEntries(reasons),
          sent: Number(sent),
          skipped: Number(skipped),
          rejected: Number(rejected),
        }),
      }
    },

    async endRetry({ run, token }) {
      const outcome = await endRetryScript(redis, { keys: runKeys(run), args: { token } })
      assertHeld(outcome)
      return RetryOutcome.parse(JSON.parse(String(outcome)))
    },
  }
}

/** @throws OperatorError where a script answered that another has the right */
export function assertHeld(answer: unknown): void {
  if (answer !== -1) return
  throw new OperatorError(
    'Another process retries rows of this run now: this one did not reach Redis for too long',
    'Nothing is lost. Start the same command again when the other one has ended.',
  )
}

/** Answers -1 for everybody who has not, or no longer, the right to retry. */
export const onlyHolder = `
if redis.call('HGET', retry, 'token') ~= token then return -1 end`

/** The timeline's entries of how a retry has ended, and of what it has done. Answers the latter. */
const retryRecorded = `
local function recordRetry(retry, timeline, now, how)
  local outcome = { reasons = {}, sent = 0, skipped = 0, rejected = 0 }
  local by, rows = '', 0
  local fields = redis.call('HGETALL', retry)
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    local reason = string.match(name, '^reason|(.+)$')
    if name == 'by' then by = value
    elseif reason then
      outcome.reasons[reason] = tonumber(value)
      rows = rows + value
    elseif outcome[name] then outcome[name] = tonumber(value) end
  end
  local answer = cjson.encode(outcome)
  if rows > 0 then
    outcome.kind, outcome.atMs, outcome.by = 'retried', now, by
    redis.call('RPUSH', timeline, cjson.encode(outcome))
  end
  if rows == 0 or how == 'cut_off' then
    redis.call('RPUSH', timeline, cjson.encode({ kind = 'retry_ended', atMs = now, by = by, how = how }))
  end
  return answer
end`

/** Answers false, or who has the right and since when (ms). */
const takeRetryScript = defineScript({
  keys: ['retry', 'timeline'],
  args: ['token', 'who', 'holdMs', 'entry'],
  lua: `
${redisClock}
${retryRecorded}
local now = nowMs()
local held = redis.call('HMGET', retry, 'token', 'untilMs', 'by', 'atMs')
if held[1] and held[1] ~= token and tonumber(held[2]) > now and tonumber(held[2]) <= now + holdMs then return { held[3], held[4] } end
if held[1] == token then
  redis.call('HSET', retry, 'untilMs', now + holdMs)
  return false
end
if held[1] then recordRetry(retry, timeline, now, 'cut_off') end
redis.call('DEL', retry)
local begun = cjson.decode(entry)
begun.atMs = now
redis.call('RPUSH', timeline, cjson.encode(begun))
redis.call('HSET', retry, 'token', token, 'by', who, 'atMs', now, 'untilMs', now + holdMs)
return false
`,
})

const keepRetryScript = defineScript({
  keys: ['retry'],
  args: ['token', 'holdMs', 'rows', 'looked'],
  lua: `
${redisClock}
${onlyHolder}
redis.call('HSET', retry, 'untilMs', nowMs() + holdMs)
if rows ~= '' then redis.call('HSET', retry, 'rows', rows, 'looked', looked) end
return 1
`,
})

/** Answers the outcome (JSON). */
const endRetryScript = defineScript({
  keys: ['retry', 'timeline'],
  args: ['token'],
  lua: `
${redisClock}
${retryRecorded}
${onlyHolder}
local outcome = recordRetry(retry, timeline, nowMs(), 'done')
redis.call('DEL', retry)
return outcome
`,
})
