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
