import type { Tally } from '@heapferry/domain'

/**
 * One row leaves a counter for another, in a chunk's tally and in the totals. (Redis' JSON keeps 14 digits of a number: a
 * checkpoint's cursor counts bytes or rows, and has fewer.)
 */
export const countersMoved = `
local function add(tally, totals, run, tableName, counter, by)
  local group, reason = string.match(counter, '^(%a+)%.(.+)$')
  if reason then
    local count = (tally[group][reason] or 0) + by
    tally[group][reason] = count ~= 0 and count or nil
  else
    tally[counter] = tally[counter] + by
  end
  if redis.call('HINCRBY', totals, counter .. '|' .. tableName, by) == 0 and reason then
    redis.call('HDEL', totals, counter .. '|' .. tableName)
  end
  if counter == 'sent' then redis.call('HINCRBY', run, 'rowsSent', by) end
  if group == 'rejected' then redis.call('HINCRBY', run, 'rowsRejected', by) end
end
local function countWarned(totals, warned)
  for counter, by in pairs(cjson.decode(warned)) do redis.call('HINCRBY', totals, counter, by) end
end
local function move(tally, totals, run, tableName, from, to)
  add(tally, totals, run, tableName, from, -1)
  add(tally, totals, run, tableName, to, 1)
end`

/** What `countWarned` is told: counts by the fields that they have among the totals. */
export function warnedTotals(table: string, counts: Tally['warned']): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(counts).map(([warning, count]) => [`warned.${warning}|${table}`, count])),
  )
}
