import { RejectedRow, type RetriedRow, type RetryLedger, type RetryObstacle } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { defineScript } from '../define-script.ts'
import { keysOf, rowField } from '../keys.ts'
import { countedByDay, sentFields } from '../sent-fields.ts'
import { countersMoved, warnedTotals } from './counters-moved.ts'
import { assertHeld, onlyHolder } from './retry-hold-ledger.ts'

const obstacles: readonly (RetryObstacle | null)[] = [null, 'not_rejected', 'chunk_not_done', 'sent_otherwise']

export function retryLedger(redis: Redis): RetryLedger {
  const { runKeys } = keysOf(redis)
  return {
    async announce({ run, token }, rows, anyway) {
      const answers = await announceScript(redis, {
        keys: runKeys(run),
        args: { token, anyway: anyway ? 1 : 0 },
        each: rows.map((row) => ({ field: rowField(row), chunk: row.chunk, digest: row.sentAs ?? '' })),
      })
      assertHeld(answers)
      if (!Array.isArray(answers)) throw new Error('Redis did not answer for each row')
      return answers.map((answer) => obstacles[Number(answer)] ?? null)
    },

    async settle({ run, token }, batch, rows, warned) {
      const answer = await settleScript(redis, {
        keys: runKeys(run),
        args: { token, batch, warned: warned ? warnedTotals(warned.table, warned.counts) : '{}' },
        each: rows.map((row) => ({ field: rowField(row), chunk: row.chunk, ...endOf(row) })),
      })
      assertHeld(answer)
    },
  }
}

function endOf(row: RetriedRow): Record<'counter' | 'value' | 'sentField' | 'day', string> {
  const end = { value: '', sentField: '', day: '' }
  switch (row.kind) {
    case 'sent': {
      const { table, event, day } = row
      const [[sentField, days] = ['', {}]] = Object.entries(sentFields(table, [{ event, day, count: 1 }]))
      return { ...end, counter: 'sent', sentField, day: Object.keys(days)[0] ?? '' }
    }
    case 'skipped':
      return { ...end, counter: `skipped.${row.reason}` }
    case 'rejected':
      return { ...end, counter: `rejected.${row.reason}`, value: JSON.stringify(RejectedRow.parse(row)) }
  }
}

/**
 * Marks rows as being sent, each with a digest of what it is sent as ('' where it is not sent). A mark outlives the
 * process that left it: the next retry sees that the row may be in PostHog, and as what.
 *
 * Answers for each row 0: it may be sent, 1: not rejected, 2: its chunk is not done, 3: sent otherwise.
 */
const announceScript = defineScript({
  keys: ['retry', 'rejected', 'checkpoints', 'sending'],
  args: ['token', 'anyway'],
  each: { args: ['field', 'chunk', 'digest'] },
  lua: `
${onlyHolder}
local done = {}
local answers = {}
for field, chunk, digest in each() do
  if done[chunk] == nil then
    local checkpoint = redis.call('HGET', checkpoints, chunk)
    done[chunk] = checkpoint and cjson.decode(checkpoint).done or false
  end
  local marked = redis.call('HGET', sending, field)
  local answer = 0
  if redis.call('HEXISTS', rejected, field) == 0 then answer = 1
  elseif not done[chunk] then answer = 2
  elseif marked and marked ~= digest and anyway ~= '1' then answer = 3
  elseif digest ~= '' then redis.call('HSET', sending, field, digest) end
  table.insert(answers, answer)
end
return answers
`,
})

/**
 * Stores how rejected rows have ended. Each moves one from the counter of its old reason to that of its end, in the totals
 * and in the checkpoint of its chunk; a row that is rejected no more, or whose chunk is not done, moves nothing.
 *
 * `counter` is 'sent', 'skipped.<reason>' or 'rejected.<reason>'; `value` the JSON of one that is rejected again, else '';
 * `sentField` and `day` are of the counts by day for one that is sent, else ''.
 */
const settleScript = defineScript({
  keys: ['retry', 'rejected', 'checkpoints', 'totals', 'retried', 'sending', 'run', 'sent'],
  args: ['token', 'batch', 'warned'],
  each: { args: ['field', 'chunk', 'counter', 'value', 'sentField', 'day'] },
  lua: `
${countersMoved}
${countedByDay}
${onlyHolder}
-- Sent again because the answer was lost on its way.
if tonumber(redis.call('HGET', retry, 'batch') or 0) >= tonumber(batch) then return 0 end
redis.call('HSET', retry, 'batch', batch)

local chunks = {}
local days = {}
countWarned(totals, warned)
for field, chunk, counter, value, sentField, day in each() do
  if chunks[chunk] == nil then
    local checkpoint = redis.call('HGET', checkpoints, chunk)
    chunks[chunk] = checkpoint and cjson.decode(checkpoint) or { done = false }
  end
  local stored = redis.call('HGET', rejected, field)
  if stored and chunks[chunk].done then
    local was = cjson.decode(stored)
    move(chunks[chunk].tally, totals, run, was.table, 'rejected.' .. was.reason, counter)
    if value == '' then
      redis.call('HDEL', rejected, field)
      redis.call('SADD', retried, field)
    else
      redis.call('HSET', rejected, field, value)
    end
    redis.call('HDEL', sending, field)
    redis.call('HINCRBY', retry, 'reason|' .. was.reason, 1)
    redis.call('HINCRBY', retry, string.match(counter, '^%a+'), 1)
    if counter == 'sent' then
      days[sentField] = days[sentField] or {}
      days[sentField][day] = (days[sentField][day] or 0) + 1
    end
  end
end
countByDay(sent, days)
for chunk, checkpoint in pairs(chunks) do
  if checkpoint.done then redis.call('HSET', checkpoints, chunk, cjson.encode(checkpoint)) end
end
return 1
`,
})
