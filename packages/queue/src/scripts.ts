/**
 * Stores checkpoint, counters, rejected rows and counts by day together, or nothing.
 *
 * - Only the holder of the chunk's lock may commit: a worker that was taken for dead cannot rewind its successor.
 * - A cursor only moves forward. The counters grow by what the new tally exceeds the stored one, so a repeated commit
 *   (a reply lost on the way) adds nothing.
 * - Counts by day say how much a slice adds, not how much there is: they are only taken if the slice starts where the
 *   stored checkpoint ends. After a Redis that went back in time they miss some, which shows: they do not add up to `sent`.
 *
 * Lua, and not MULTI: a MULTI whose second command fails keeps the first.
 *
 * KEYS  1 lock · 2 checkpoints · 3 totals · 4 rejected · 5 run · 6 samples · 7 history · 8 timeline · 9 rows by file ·
 *       10 sent
 * ARGV  1 token · 2 chunk id · 3 checkpoint (JSON) · 4 table · 5 phase · 6 now (ms) · 7 cursor at which the slice starts ·
 *       8 counts by day (JSON, field → { day of the block: events }) · 9… field, value of each rejected row
 * Answers the run's intent (JSON, or false where none is stored), or -1 when the lock is lost.
 */
export const commitScript = `
${phaseCompleted()}
${countedByDay()}
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
  -- Older versions know no warnings.
  local warned = old.tally.warned or {}
  for warning, count in pairs(new.tally.warned or {}) do add('warned.' .. warning, count - (warned[warning] or 0)) end

  for i = 9, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
  if tonumber(ARGV[7]) == (stored and old.cursor or 0) then countByDay(KEYS[10], cjson.decode(ARGV[8])) end
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
 * Remembers how events are sent, with a line in the timeline where it is another way than before: workers say it
 * whenever they start.
 *
 * KEYS  1 run · 2 timeline
 * ARGV  1 transport · 2 timeline entry (JSON) · 3 how many entries are kept
 */
export const setTransportScript = `
if redis.call('HGET', KEYS[1], 'transport') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'transport', ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
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

/**
 * KEYS  1 retry · 2 timeline
 * ARGV  1 token · 2 who · 3 how long they have the right (ms)
 * Answers false, or who has it and since when (ms).
 */
export const takeRetryScript = `
${retryRecorded()}
local now = nowMs()
local held = redis.call('HMGET', KEYS[1], 'token', 'untilMs', 'by', 'atMs')
if held[1] and held[1] ~= ARGV[1] and tonumber(held[2]) > now then return { held[3], held[4] } end
recordRetry(KEYS[1], KEYS[2], now)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'by', ARGV[2], 'atMs', now, 'untilMs', now + ARGV[3])
return false
`

/**
 * KEYS  1 retry
 * ARGV  1 token · 2 how much longer (ms)
 * Answers -1 when another has the right.
 */
export const keepRetryScript = `
${retryRecorded()}
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return -1 end
redis.call('HSET', KEYS[1], 'untilMs', nowMs() + ARGV[2])
return 1
`

/**
 * KEYS  1 retry · 2 timeline
 * ARGV  1 token
 * Answers the outcome (JSON), or -1 when another has the right.
 */
export const endRetryScript = `
${retryRecorded()}
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return -1 end
local outcome = recordRetry(KEYS[1], KEYS[2], nowMs())
redis.call('DEL', KEYS[1])
return outcome
`

/**
 * Marks rows as being sent, each with a digest of what it is sent as. A mark outlives the process that left it: the next
 * retry sees that the row may be in PostHog, and as what.
 *
 * KEYS  1 retry · 2 rejected · 3 checkpoints · 4 sending
 * ARGV  1 token · 2 1: also rows that may have been sent otherwise · 3… field, chunk id, digest of each row ('' where it
 *       is not sent)
 * Answers for each row 0: it may be sent, 1: not rejected, 2: its chunk is not done, 3: sent otherwise; or -1 when another has the
 * right.
 */
export const announceScript = `
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return -1 end
local done = {}
local answers = {}
for i = 3, #ARGV, 3 do
  local field, chunk, digest = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if done[chunk] == nil then
    local checkpoint = redis.call('HGET', KEYS[3], chunk)
    done[chunk] = checkpoint and cjson.decode(checkpoint).done or false
  end
  local marked = redis.call('HGET', KEYS[4], field)
  local answer = 0
  if redis.call('HEXISTS', KEYS[2], field) == 0 then answer = 1
  elseif not done[chunk] then answer = 2
  elseif marked and marked ~= digest and ARGV[2] ~= '1' then answer = 3
  elseif digest ~= '' then redis.call('HSET', KEYS[4], field, digest) end
  table.insert(answers, answer)
end
return answers
`

/**
 * Stores how rejected rows have ended. Each moves one from the counter of its old reason to that of its end, in the totals
 * and in the checkpoint of its chunk; a row that is rejected no more, or whose chunk is not done, moves nothing.
 *
 * KEYS  1 retry · 2 rejected · 3 checkpoints · 4 totals · 5 retried · 6 sending · 7 run · 8 sent
 * ARGV  1 token · 2 batch · 3 by how much totals of warnings grow (JSON) · 4… of each row field, chunk id, counter ('sent',
 *       'skipped.<reason>', 'rejected.<reason>'), value (JSON of one that is rejected again, else ''), field of the counts
 *       by day and day of its block (of one that is sent, else '')
 * Answers -1 when another has the right.
 */
export const settleScript = `
${countersMoved()}
${countedByDay()}
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return -1 end
-- Sent again because the answer was lost on its way.
if tonumber(redis.call('HGET', KEYS[1], 'batch') or 0) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'batch', ARGV[2])

local checkpoints = {}
local days = {}
countWarned(KEYS[4], ARGV[3])
for i = 4, #ARGV, 6 do
  local field, chunk, counter, value = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if checkpoints[chunk] == nil then
    local checkpoint = redis.call('HGET', KEYS[3], chunk)
    checkpoints[chunk] = checkpoint and cjson.decode(checkpoint) or { done = false }
  end
  local stored = redis.call('HGET', KEYS[2], field)
  if stored and checkpoints[chunk].done then
    local was = cjson.decode(stored)
    move(checkpoints[chunk].tally, KEYS[4], KEYS[7], was.table, 'rejected.' .. was.reason, counter)
    if value == '' then
      redis.call('HDEL', KEYS[2], field)
      redis.call('SADD', KEYS[5], field)
    else
      redis.call('HSET', KEYS[2], field, value)
    end
    redis.call('HDEL', KEYS[6], field)
    redis.call('HINCRBY', KEYS[1], 'reason|' .. was.reason, 1)
    redis.call('HINCRBY', KEYS[1], string.match(counter, '^%a+'), 1)
    if counter == 'sent' then
      local sentField, day = ARGV[i + 4], ARGV[i + 5]
      days[sentField] = days[sentField] or {}
      days[sentField][day] = (days[sentField][day] or 0) + 1
    end
  end
end
countByDay(KEYS[8], days)
for chunk, checkpoint in pairs(checkpoints) do
  if checkpoint.done then redis.call('HSET', KEYS[3], chunk, cjson.encode(checkpoint)) end
end
return 1
`

/**
 * Stores how held back rows of a chunk have ended, if the chunk is where it was when they were read.
 *
 * KEYS  1 retry · 2 rejected · 3 checkpoints · 4 totals · 5 heldBack · 6 run · 7 sent
 * ARGV  1 token · 2 chunk id · 3 table · 4 how far it was (JSON, '' where nothing is stored) · 5 how far it is (JSON) ·
 *       6 rows sent · 7 counts by day (as of a commit) · 8 by how much totals of warnings grow (JSON) · 9… field, reason,
 *       value of each rejected row
 * Answers -1 when another has the right, -2 when the chunk is not where it was.
 */
export const settleHeldBackScript = `
${countersMoved()}
${countedByDay()}
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return -1 end
local stored = redis.call('HGET', KEYS[5], ARGV[2]) or ''
-- Sent again because the answer was lost on its way.
if stored == ARGV[5] then return 0 end
local checkpoint = cjson.decode(redis.call('HGET', KEYS[3], ARGV[2]) or '{"done":false}')
if stored ~= ARGV[4] or not checkpoint.done then return -2 end
redis.call('HSET', KEYS[5], ARGV[2], ARGV[5])
countByDay(KEYS[7], cjson.decode(ARGV[7]))

local function moveFromHeldBack(counter, kind, rows)
  if rows == 0 then return end
  for _ = 1, rows do move(checkpoint.tally, KEYS[4], KEYS[6], ARGV[3], 'skipped.held_back', counter) end
  redis.call('HINCRBY', KEYS[1], 'reason|held_back', rows)
  redis.call('HINCRBY', KEYS[1], kind, rows)
end
moveFromHeldBack('sent', 'sent', tonumber(ARGV[6]))
countWarned(KEYS[4], ARGV[8])
for i = 9, #ARGV, 3 do
  moveFromHeldBack('rejected.' .. ARGV[i + 1], 'rejected', 1)
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
end
redis.call('HSET', KEYS[3], ARGV[2], cjson.encode(checkpoint))
return 1
`

/** The moment, by the one clock that all processes share, and the timeline's entry of what a retry has done. */
function retryRecorded(): string {
  return `
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
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
}

/**
 * One row leaves a counter for another, in a chunk's tally and in the totals. (Redis' JSON keeps 14 digits of a number: a
 * checkpoint's cursor counts bytes or rows, and has fewer.)
 */
function countersMoved(): string {
  return `
local function add(tally, totals, run, table_, counter, by)
  local group, reason = string.match(counter, '^(%a+)%.(.+)$')
  if reason then
    local count = (tally[group][reason] or 0) + by
    tally[group][reason] = count ~= 0 and count or nil
  else
    tally[counter] = tally[counter] + by
  end
  if redis.call('HINCRBY', totals, counter .. '|' .. table_, by) == 0 and reason then
    redis.call('HDEL', totals, counter .. '|' .. table_)
  end
  if counter == 'sent' then redis.call('HINCRBY', run, 'rowsSent', by) end
  if group == 'rejected' then redis.call('HINCRBY', run, 'rowsRejected', by) end
end
local function countWarned(totals, warned)
  for counter, by in pairs(cjson.decode(warned)) do redis.call('HINCRBY', totals, counter, by) end
end
local function move(tally, totals, run, table_, from, to)
  add(tally, totals, run, table_, from, -1)
  add(tally, totals, run, table_, to, 1)
end`
}

/**
 * Adds events to the counts of their days. Those beyond 40,000 fields (12 MB) are left out: a hash of names from an export
 * must not grow without end.
 */
function countedByDay(): string {
  return `
local function grown(line, days)
  local counts, last = {}, -1
  for count in string.gmatch(line and line .. ',' or '', '([^,]*),') do
    last = last + 1
    counts[last] = count
  end
  for day, by in pairs(days) do
    local at = tonumber(day)
    while last < at do
      last = last + 1
      counts[last] = ''
    end
    counts[at] = string.format('%.0f', (tonumber(counts[at]) or 0) + by)
  end
  return table.concat(counts, ',', 0, last)
end
local function countByDay(sent, fields)
  for field, days in pairs(fields) do
    local line = redis.call('HGET', sent, field)
    if line or redis.call('HLEN', sent) < 40000 then redis.call('HSET', sent, field, grown(line, days)) end
  end
end`
}

/** A phase completes at its last commit, or when it is sealed after that; scripts run one by one, so it is recorded once. */
function phaseCompleted(): string {
  return `
local function recordPhaseIfComplete(totals, timeline, phase, now)
  local planned = tonumber(redis.call('HGET', totals, 'planned|' .. phase) or 0)
  if tonumber(redis.call('HGET', totals, 'done|' .. phase) or 0) < planned then return end
  redis.call('RPUSH', timeline, '{"kind":"phase_completed","atMs":' .. now .. ',"phase":"' .. phase .. '"}')
end`
}
