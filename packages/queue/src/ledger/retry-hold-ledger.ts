import { OperatorError, type RetryHoldLedger, RetryOutcome } from '@heapferry/domain'
import type { Redis } from 'ioredis'
import { defineScript } from '../define-script.ts'
import { runKeys } from '../keys.ts'

// Long enough for a Redis that restarts; after a kill -9 the next retry waits no longer than that.
const holdMs = 10_000

export function retryHoldLedger(redis: Redis): RetryHoldLedger {
  return {
    async takeRetry({ run, token }, by) {
      const held = await takeRetryScript(redis, { keys: runKeys(run), args: { token, who: by, holdMs } })
      return Array.isArray(held) ? { by: String(held[0]), sinceMs: Number(held[1]) } : null
    },

    async keepRetry({ run, token }) {
      assertHeld(await keepRetryScript(redis, { keys: runKeys(run), args: { token, holdMs } }))
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

/** The moment, by the one clock that all processes share. */
const nowMs = `
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end`

/** The timeline's entry of what a retry has done. */
const retryRecorded = `
local function recordRetry(retry, timeline, now)
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
  if rows == 0 then return answer end
  outcome.kind, outcome.atMs, outcome.by = 'retried', now, by
  redis.call('RPUSH', timeline, cjson.encode(outcome))
  return answer
end`

/** Answers false, or who has the right and since when (ms). */
const takeRetryScript = defineScript({
  keys: ['retry', 'timeline'],
  args: ['token', 'who', 'holdMs'],
  lua: `
${nowMs}
${retryRecorded}
local now = nowMs()
local held = redis.call('HMGET', retry, 'token', 'untilMs', 'by', 'atMs')
if held[1] and held[1] ~= token and tonumber(held[2]) > now then return { held[3], held[4] } end
recordRetry(retry, timeline, now)
redis.call('DEL', retry)
redis.call('HSET', retry, 'token', token, 'by', who, 'atMs', now, 'untilMs', now + holdMs)
return false
`,
})

const keepRetryScript = defineScript({
  keys: ['retry'],
  args: ['token', 'holdMs'],
  lua: `
${nowMs}
${onlyHolder}
redis.call('HSET', retry, 'untilMs', nowMs() + holdMs)
return 1
`,
})

/** Answers the outcome (JSON). */
const endRetryScript = defineScript({
  keys: ['retry', 'timeline'],
  args: ['token'],
  lua: `
${nowMs}
${retryRecorded}
${onlyHolder}
local outcome = recordRetry(retry, timeline, nowMs())
redis.call('DEL', retry)
return outcome
`,
})
