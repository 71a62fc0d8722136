import { Checkpoint, type ChunkLedger, Intent, phaseOf } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { defineScript } from '../define-script.ts'
import { keysOf, rowField } from '../keys.ts'
import { redisClock } from '../redis-clock.ts'
import { countedByDay, sentFields } from '../sent-fields.ts'
import { chunkDigest } from './chunk-digest.ts'
import { parsed } from './parsed.ts'
import { phaseCompleted } from './plan-ledger.ts'
import { wantedToRun } from './run-ledger.ts'

export function chunkLedger(redis: Redis): ChunkLedger {
  const { queueKeys, runKeys } = keysOf(redis)
  return {
    async isPlanned(chunk) {
      const [isNoted, digest] = await redis.hmget(runKeys(chunk.run).chunks, chunk.file, chunk.id)
      return isNoted === null || digest === chunkDigest(chunk)
    },

    async checkpoint(chunk) {
      return parsed(Checkpoint, await redis.hget(runKeys(chunk.run).checkpoints, chunk.id))
    },

    async commit({ chunk, file, token, runCreatedAtMs }, checkpoint, rejected, sent) {
      const phase = phaseOf(file.table.kind)
      const answer = await commitScript(redis, {
        keys: { ...runKeys(chunk.run), lock: queueKeys(chunk.run, phase).lock(chunk.id) },
        args: {
          token,
          runCreatedAtMs: runCreatedAtMs ?? '',
          chunk: chunk.id,
          digest: chunkDigest(chunk),
          checkpoint: JSON.stringify(checkpoint),
          tableName: file.table.name,
          phase,
          from: sent.from,
          counts: JSON.stringify(sentFields(file.table.name, sent.counts)),
        },
        each: rejected.map((row) => ({ field: rowField(row), value: JSON.stringify(row) })),
      })
      if (answer === -1) return { kind: 'lock_lost' }
      if (answer === -2) return { kind: 'not_planned' }
      if (answer === -3) return { kind: 'stale' }
      if (answer === -4) return { kind: 'other_run' }
      return { kind: 'committed', intent: typeof answer === 'string' ? Intent.parse(JSON.parse(answer)) : wantedToRun }
    },
  }
}

/**
 * Stores checkpoint, counters, rejected rows and counts by day together, or nothing.
 *
 * - Only the holder of the chunk's lock may commit: a worker that was taken for dead cannot rewind its successor.
 * - Only for the run that it was read for: what another mapping makes of it is no part of one that was created anew.
 * - Only a chunk that was planned, with its own range and rows: another one would be taken for its part of the file.
 * - A cursor only moves forward. The counters grow by what the new tally exceeds the stored one, so a repeated commit
 *   (a reply lost on the way) adds nothing.
 * - A slice must start where the stored checkpoint ends. After a Redis that went back in time it does not: rejected rows
 *   and counts by day of what was forgotten would be missing, and they come again with the rows before the slice.
 *
 * Lua, and not MULTI: a MULTI whose second command fails keeps the first.
 *
 * `from` is the cursor at which the slice starts, `counts` are by field and day of its block, `each` is a rejected row.
 * Answers the run's intent (JSON, or false where none is stored), -1 when the lock is lost, -2 for what was not
 * planned, -3 for a slice that starts elsewhere, -4 when the run is another one.
 */
const commitScript = defineScript({
  keys: [
    'lock',
    'checkpoints',
    'chunks',
    'totals',
    'rejected',
    'run',
    'samples',
    'history',
    'timeline',
    'fileRows',
    'sent',
  ],
  args: ['token', 'runCreatedAtMs', 'chunk', 'digest', 'checkpoint', 'tableName', 'phase', 'from', 'counts'],
  each: { args: ['field', 'value'] },
  lua: `
${redisClock}
${phaseCompleted}
${countedByDay}
if redis.call('GET', lock) ~= token then return -1 end
-- Not decoded: it has the mapping, which can be long.
local isOfRun = string.find(redis.call('HGET', run, 'run') or '', '"createdAtMs":' .. runCreatedAtMs .. '[,}]')
if runCreatedAtMs ~= '' and not isOfRun then return -4 end
-- A chunk's id begins with that of its file.
local file = string.sub(chunk, 1, 12)
if redis.call('HEXISTS', chunks, file) == 1 and redis.call('HGET', chunks, chunk) ~= digest then return -2 end

local new = cjson.decode(checkpoint)
local stored = redis.call('HGET', checkpoints, chunk)
local old = stored and cjson.decode(stored) or { cursor = -1, done = false, tally = { read = 0, sent = 0, skipped = {}, rejected = {} } }

if not old.done and (new.cursor > old.cursor or new.done) then
  if tonumber(from) ~= math.max(old.cursor, 0) then return -3 end
  local function add(counter, by)
    if by ~= 0 then redis.call('HINCRBY', totals, counter .. '|' .. tableName, by) end
  end
  local newlyRejected = 0
  add('read', new.tally.read - old.tally.read)
  add('sent', new.tally.sent - old.tally.sent)
  redis.call('HINCRBY', fileRows, file, new.tally.read - old.tally.read)
  for reason, count in pairs(new.tally.skipped) do add('skipped.' .. reason, count - (old.tally.skipped[reason] or 0)) end
  for reason, count in pairs(new.tally.rejected) do
    local by = count - (old.tally.rejected[reason] or 0)
    add('rejected.' .. reason, by)
    newlyRejected = newlyRejected + by
  end
  -- Older versions know no warnings.
  local warned = old.tally.warned or {}
  for warning, count in pairs(new.tally.warned or {}) do add('warned.' .. warning, count - (warned[warning] or 0)) end

  for field, value in each() do redis.call('HSET', rejected, field, value) end
  countByDay(sent, cjson.decode(counts))
  redis.call('HSET', checkpoints, chunk, checkpoint)

  local rowsRead = redis.call('HINCRBY', run, 'rowsRead', new.tally.read - old.tally.read)
  local rowsSent = redis.call('HINCRBY', run, 'rowsSent', new.tally.sent - old.tally.sent)
  local rowsRejected = redis.call('HINCRBY', run, 'rowsRejected', newlyRejected)
  -- Redis' clock may have been set back, or another server may have taken over: nobody waits for a moment to come again.
  local now = nowMs()
  if math.abs(now - tonumber(redis.call('HGET', run, 'sampledAtMs') or 0)) >= 1000 then
    redis.call('HSET', run, 'sampledAtMs', now)
    redis.call('LPUSH', samples, now .. ':' .. rowsRead)
    redis.call('LTRIM', samples, 0, 119)
  end

  local every = tonumber(redis.call('HGET', run, 'historyEveryMs') or 1000)
  if math.abs(now - tonumber(redis.call('HGET', run, 'historyAtMs') or 0)) >= every then
    redis.call('HSET', run, 'historyAtMs', now)
    if redis.call('RPUSH', history, now .. ':' .. rowsRead .. ':' .. rowsSent .. ':' .. rowsRejected) > 1440 then
      local points = redis.call('LRANGE', history, 0, -1)
      redis.call('DEL', history)
      for i = 1, #points, 2 do redis.call('RPUSH', history, points[i]) end
      redis.call('HSET', run, 'historyEveryMs', every * 2)
    end
  end

  if new.done then
    redis.call('HINCRBY', totals, 'done|' .. phase, 1)
    if redis.call('HGET', run, 'sealed|' .. phase) == '1' then recordPhaseIfComplete(totals, timeline, phase, now) end
  end
end

return redis.call('HGET', run, 'intent')
`,
})
