import type { Pace } from '@heapferry/domain'
import { defineScript } from './define-script.ts'

/**
 * The clock that all senders of a run go by, in µs of Redis' own time. See docs/decisions/009-one-clock-for-all-senders.md for the numbers
 * and for the libraries not taken.
 *
 * Two rules hold at once. Within any second no more events go than the limit, whoever sends them: the log knows them. And
 * each batch moves `nextAt`, before which nobody may send, on by what its events take: so they go evenly.
 */

/** PostHog may skip a person's processing above 5,000 events a minute: never more than 300 + 60 × 70 go in one. */
const busyId = { burstEvents: 300, eventsPerSecond: 70 }

const secondUs = 1_000_000
// The rest is for batches that are late on their way, and so come closer to those behind them.
const usedShare = 0.97
// So much that nobody used, because timers and processors are late, may be made up for; not what nobody wanted.
const slackUs = 100_000
// Batches that go so close together are one entry of the log: it stays short, however small they are.
const sameMomentUs = 20_000
const loweredAtMostEveryUs = 2 * secondUs
const raisedOverSeconds = 30
// After Retry-After one request goes first: its answer says whether all the others may.
const probeUs = secondUs
// No batch takes as long: Redis' clock was set back, or another server has taken over.
const impossibleUs = 30 * secondUs

const clock = `
local time = redis.call('TIME')
local now = time[1] * ${secondUs} + time[2]
local function at(us) return string.format('%.0f', us) end
local function field(name) return tonumber(redis.call('HGET', pace, name)) end

local stored = redis.call('HGET', pace, 'limit')
-- '' was stored for 'none' once.
if stored and not tonumber(stored) then stored = 'none' end
local limit = tonumber(stored or known)

local function effective()
  local lowered = field('lowered')
  if not limit or not lowered then return limit end
  local quiet = math.max(0, now - field('loweredAt')) / ${secondUs}
  return math.min(limit, lowered + limit * quiet / ${raisedOverSeconds})
end
`

/**
 * `known` is the limit that the asker knows, in events a second, or 'none'; `each` is a busy id, and how many of the events
 * are its.
 * Answers { 'go' }, { 'wait', ms }, { 'busy', ms } where only this batch has to wait, for its ids, or
 * { 'limit', the limit that is in force instead }.
 */
export const takeScript = defineScript({
  keys: ['pace', 'paceLog'],
  args: ['known', 'events'],
  each: { keys: ['busyId'], args: ['ofBusyId'] },
  lua: `${clock}
if stored and stored ~= known then return { 'limit', stored } end
local events = tonumber(events)
local function wait(us, word) return { word or 'wait', math.ceil(us / 1000) } end

local gateAt = field('gateAt')
if gateAt and gateAt > now then return wait(gateAt - now) end

if limit then
  local nextAt = field('nextAt') or 0
  if nextAt - now > ${impossibleUs} then
    redis.call('DEL', paceLog)
    nextAt = 0
  end
  if nextAt > now then return wait(nextAt - now) end
  nextAt = now - nextAt < ${secondUs} and math.max(nextAt, now - ${slackUs}) or now

  local inSecond, log = events, redis.call('LRANGE', paceLog, 0, -1)
  for i = #log, 1, -1 do
    local wentAt, went = string.match(log[i], '(%d+):(%d+)')
    if now - wentAt >= ${secondUs} then break end
    inSecond = inSecond + went
    if inSecond > limit then return wait(wentAt + ${secondUs} - now) end
  end

  local perEvent, busyWait, readyAt = ${secondUs} / ${busyId.eventsPerSecond}, 0, {}
  for busyId, ofBusyId in each() do
    readyAt[busyId] = math.max(now, tonumber(redis.call('GET', busyId) or 0)) + ofBusyId * perEvent
    busyWait = math.max(busyWait, readyAt[busyId] - now - ${busyId.burstEvents} * perEvent)
  end
  if busyWait > 0 then
    redis.call('HSET', pace, 'busyIdAt', at(now))
    return wait(busyWait, 'busy')
  end

  for busyId, us in pairs(readyAt) do redis.call('SET', busyId, at(us), 'PX', math.ceil((us - now) / 1000)) end
  local takes = events / (effective() * ${usedShare}) * ${secondUs}
  redis.call('HSET', pace, 'nextAt', at(nextAt + takes))

  local lastAt, last = string.match(log[#log] or '0:0', '(%d+):(%d+)')
  if now - lastAt < ${sameMomentUs} then
    redis.call('LSET', paceLog, -1, at(now) .. ':' .. at(last + events))
  else
    redis.call('RPUSH', paceLog, at(now) .. ':' .. at(events))
    redis.call('LTRIM', paceLog, -${secondUs / sameMomentUs}, -1)
  end
  redis.call('PEXPIRE', paceLog, 1000)
end

if gateAt then
  if field('probedAt') then redis.call('HDEL', pace, 'gateAt', 'probedAt')
  else redis.call('HSET', pace, 'gateAt', at(now + ${probeUs}), 'probedAt', at(now)) end
end
return { 'go' }
`,
})

/**
 * Shuts the gate until the moment that PostHog named, and halves the pace at 429 and 5xx; more of these within two
 * seconds are of the same congestion. The pace grows again by itself, by a thirtieth of the limit each second.
 *
 * `known` is the limit where none is stored; `afterMs`, until Retry-After, and `status`, which lowers the pace, may be ''.
 */
export const laterScript = defineScript({
  keys: ['pace'],
  args: ['known', 'afterMs', 'status'],
  lua: `${clock}
if afterMs ~= '' then
  redis.call('HSET', pace, 'gateAt', at(math.max(field('gateAt') or 0, now + afterMs * 1000)))
  redis.call('HDEL', pace, 'probedAt')
end
if limit and status ~= '' and now - (field('loweredAt') or 0) >= ${loweredAtMostEveryUs} then
  redis.call('HSET', pace, 'lowered', effective() / 2, 'loweredAt', at(now), 'loweredBy', status)
end
`,
})

/**
 * `known` is the limit where none is stored.
 * Answers limit, effective ('none' where there is no limit), the status that lowered it, whether a busy id had to wait
 * within the last ten seconds, when the limit was changed (ms), and how long the gate is still shut (ms).
 */
export const currentPaceScript = defineScript({
  keys: ['pace'],
  args: ['known'],
  lua: `${clock}
local isBusy = now - (field('busyIdAt') or 0) < ${10 * secondUs}
local changedAtMs = redis.call('HGET', pace, 'changedAtMs') or '0'
local loweredBy = redis.call('HGET', pace, 'loweredBy') or ''
local shutMs = math.max(0, (field('gateAt') or 0) - now) / 1000
return { stored or known, tostring(effective() or 'none'), loweredBy, isBusy and 1 or 0, changedAtMs, math.floor(shutMs) }
`,
})

/**
 * A pace that a person sets is in force at once and as a whole.
 *
 * Answers the limit that was stored before, or false.
 */
export const setPaceScript = defineScript({
  keys: ['pace'],
  args: ['limit', 'nowMs'],
  lua: `
local before = redis.call('HGET', pace, 'limit')
redis.call('HSET', pace, 'limit', limit, 'changedAtMs', nowMs)
redis.call('HDEL', pace, 'nextAt', 'lowered', 'loweredAt', 'loweredBy')
return before
`,
})

/** As the scripts say it. */
export function limitText(limit: Pace): string {
  return limit === null ? 'none' : String(limit)
}

export function paceOf(text: string): Pace {
  return Number(text) > 0 ? Number(text) : null
}
