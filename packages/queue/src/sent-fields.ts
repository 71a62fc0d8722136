import type { DayCount } from '@heapferry/domain'
import { z } from 'zod'

const blockDays = 32
const SentField = z.tuple([z.string(), z.string(), z.int()])

/** What is added to the hash of what was sent: field → day of the field's block → events. */
export function sentFields(table: string, counts: readonly DayCount[]): Record<string, Record<number, number>> {
  const fields: Record<string, Record<number, number>> = {}
  for (const { event, day, count } of counts) {
    const block = Math.floor(day / blockDays)
    const field = JSON.stringify([table, event, block])
    fields[field] = { ...fields[field], [day - block * blockDays]: count }
  }
  return fields
}

/**
 * Adds events to the counts of their days. Those beyond 40,000 fields (12 MB) are left out: a hash of names from an export
 * must not grow without end.
 */
export const countedByDay = `
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

/** By table. */
export function sentEvents(
  fields: Record<string, string>,
): Map<string, { event: string; days: Map<number, number> }[]> {
  const tables = new Map<string, Map<string, Map<number, number>>>()
  for (const [field, counts] of Object.entries(fields)) {
    const [table, event, block] = SentField.parse(JSON.parse(field))
    const events = tables.get(table) ?? new Map<string, Map<number, number>>()
    tables.set(table, events)
    const days = events.get(event) ?? new Map<number, number>()
    events.set(event, days)
    for (const [at, count] of counts.split(',').entries())
      if (count !== '') days.set(block * blockDays + at, Number(count))
  }
  return new Map([...tables].map(([table, events]) => [table, [...events].map(([event, days]) => ({ event, days }))]))
}
