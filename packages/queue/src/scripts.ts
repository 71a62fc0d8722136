/**
 * Stores checkpoint, counters and rejected rows together, or nothing.
 *
 * - Only the holder of the chunk's lock may commit: a worker that was taken for dead cannot rewind its successor.
 * - A cursor only moves forward. The counters grow by what the new tally exceeds the stored one, so a repeated commit
 *   (a reply lost on the way) adds nothing.
 *
 * Lua, and not MULTI: a MULTI whose second command fails keeps the first.
 *
 * KEYS  1 lock · 2 checkpoints · 3 totals · 4 rejected · 5 run · 6 samples · 7 history · 8 timeline · 9 rows by file
 * ARGV  1 token · 2 chunk id · 3 checkpoint (JSON) · 4 table · 5 phase · 6 now (ms) · 7… field, value of each rejected row
 * Answers the run's intent (JSON, or false where none is stored), or -1 when the lock is lost.
 */
export const commitScript = `
${phaseCompleted()}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end

local new = cjson.decode(ARGV[3])
local stored = redis.call('HGET', KEYS[2], ARGV[2])
local old = stored and cjson.decode(stored) or { cursor = -1, done = false, tally = { read = 0, sent = 0, skipped = {}, rejected = {} } }

if not old.done and (new.cursor > old.cursor or new.done) then
  local table_, totals = ARGV[4], KEYS[3]
  local function add(counter, by)
    if by ~= 0 then redis.call('HINCRBY', totals, counter .. '|' .. table_, by) end
  end
  local rejected = 0
  add('read', new.tally.read - old.tally.read)
  add('sent', new.tally.sent - old.tally.sent)
  -- A chunk's id begins with that of its file.
  redis.call('HINCRBY', KEYS[9], string.sub(ARGV[2], 1, 12), new.tally.read - old.tally.read)
  for reason, count in pairs(new.tally.skipped) do add('skipped.' .. reason, count - (old.tally.skipped[reason] or 0)) end
  for reason, count in pairs(new.tally.rejected) do
    local by = count - (old.tally.rejected[reason] or 0)
    add('rejected.' .. reason, by)
    rejected = rejected + by
  end

  for i = 7, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])

  local rows = redis.call('HINCRBY', KEYS[5], 'rowsRead', new.tally.read - old.tally.read)
  local sent = redis.call('HINCRBY', KEYS[5], 'rowsSent', new.tally.sent - old.tally.sent)
  local allRejected = redis.call('HINCRBY', KEYS[5], 'rowsRejected', rejected)
  local now = tonumber(ARGV[6])
  if now - tonumber(redis.call('HGET', KEYS[5], 'sampledAtMs') or 0) >= 1000 then
    redis.call('HSET', KEYS[5], 'sampledAtMs', now)
    redis.call('LPUSH', KEYS[6], ARGV[6] .. ':' .. rows)
    redis.call('LTRIM', KEYS[6], 0, 119)
  end

  local every = tonumber(redis.call('HGET', KEYS[5], 'historyEveryMs') or 1000)
  if now - tonumber(redis.call('HGET', KEYS[5], 'historyAtMs') or 0) >= every then
    redis.call('HSET', KEYS[5], 'historyAtMs', now)
    if redis.call('RPUSH', KEYS[7], ARGV[6] .. ':' .. rows .. ':' .. sent .. ':' .. allRejected) > 1440 then
      local points = redis.call('LRANGE', KEYS[7], 0, -1)
      redis.call('DEL', KEYS[7])
      for i = 1, #points, 2 do redis.call('RPUSH', KEYS[7], points[i]) end
      redis.call('HSET', KEYS[5], 'historyEveryMs', every * 2)
    end
  end

  if new.done then
    redis.call('HINCRBY', totals, 'done|' .. ARGV[5], 1)
    if redis.call('HGET', KEYS[5], 'sealed|' .. ARGV[5]) == '1' then
      recordPhaseIfComplete(totals, KEYS[8], ARGV[5], ARGV[6])
    end
  end
end

return redis.call('HGET', KEYS[5], 'intent')
`

/**
 * Seals a phase if the ledger holds the whole plan of it. A Redis that went back in time (a restored snapshot, a replica
 * that lagged) has forgotten files that the producer planned; sealed, the run would complete without them.
 *
 * KEYS  1 run · 2 totals · 3 timeline
 * ARGV  1 phase · 2 chunks that the producer planned for it · 3 now (ms)
 */
export const sealScript = `
${phaseCompleted()}
if redis.call('HEXISTS', KEYS[1], 'run') == 0 then return 0 end
if tonumber(redis.call('HGET', KEYS[2], 'planned|' .. ARGV[1]) or 0) ~= tonumber(ARGV[2]) then return 0 end
if redis.call('HGET', KEYS[1], 'sealed|' .. ARGV[1]) == '1' then return 1 end
redis.call('HSET', KEYS[1], 'sealed|' .. ARGV[1], 1)
recordPhaseIfComplete(KEYS[2], KEYS[3], ARGV[1], ARGV[3])
return 1
`

/**
 * KEYS  1 run
 * ARGV  1 intent (JSON)
 */
export const pauseIfRunningScript = `
local stored = redis.call('HGET', KEYS[1], 'intent')
if stored and cjson.decode(stored).kind ~= 'run' then return 0 end
redis.call('HSET', KEYS[1], 'intent', ARGV[1])
return 1
`

/**
 * Adds a file's plan to the run's totals unless it is there already: a producer that dies and cuts the file again
 * plans it once.
 *
 * KEYS  1 plans · 2 totals
 * ARGV  1 file id · 2 plan (JSON) · 3 chunks · 4 rows · 5 table · 6 phase
 */
export const planFileScript = `
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[2], 'planned|' .. ARGV[6], ARGV[3])
redis.call('HINCRBY', KEYS[2], 'rows|' .. ARGV[5], ARGV[4])
return 1
`

/** A phase completes at its last commit, or when it is sealed after that; scripts run one by one, so it is recorded once. */
function phaseCompleted(): string {
  return `
local function recordPhaseIfComplete(totals, timeline, phase, now)
  local planned = tonumber(redis.call('HGET', totals, 'planned|' .. phase) or 0)
  if tonumber(redis.call('HGET', totals, 'done|' .. phase) or 0) < planned then return end
  redis.call('RPUSH', timeline, '{"kind":"phase_completed","atMs":' .. now .. ',"phase":"' .. phase .. '"}')
end`
}
