import type { WarehouseRow, Relation, Window } from '../warehouse.ts'
import { literal } from './redshift-fault.ts'

// What a leader node holds at a time, what a dropped connection costs, and about a chunk of 8 MB when it is packed.
const windowRows = 100_000
const units = ['day', 'hour', 'minute', 'second'] as const

interface Group {
  since: string
  rows: number
}

/**
 * Half-open spans of time with about a hundred thousand rows each, which tile a table; days with more are split down to
 * seconds, from which only a single second can stay larger.
 *
 * Not `(time, event_id) > (…)`: Heap's tables hold exact duplicates, and the second one of a pair at a border would be lost.
 */
export async function redshiftWindows(
  from: string,
  relation: Relation,
  query: (sql: string) => Promise<WarehouseRow[]>,
): Promise<{ window: Window; rows: number }[]> {
  const time = timeOf(relation)
  if (time === null) {
    const [all] = await query(`select count(*) from ${from}`)
    return [{ window: { kind: 'whole' }, rows: Number(all?.[0] ?? 0) }]
  }
  const counted = (unit: string, span: Span): Promise<WarehouseRow[]> =>
    query(
      `select date_trunc('${unit}', ${time})::varchar, count(*) from ${from} where ${time} is not null${within(time, span)} group by date_trunc('${unit}', ${time}) order by date_trunc('${unit}', ${time})`,
    )
  const groups = await groupsOf({ since: null, until: null }, 0, counted)
  const [timeless] = await query(`select count(*) from ${from} where ${time} is null`)
  const merged: Group[] = []
  for (const group of groups) {
    const last = merged.at(-1)
    if (last && last.rows + group.rows <= windowRows) last.rows += group.rows
    else merged.push({ ...group })
  }
  const last = Math.max(merged.length, 1) - 1
  return Array.from({ length: last + 1 }, (_, index) => ({
    window: {
      kind: 'time' as const,
      since: index === 0 ? null : (merged[index]?.since ?? null),
      until: merged[index + 1]?.since ?? null,
    },
    rows: (merged[index]?.rows ?? 0) + (index === last ? Number(timeless?.[0] ?? 0) : 0),
  }))
}

interface Span {
  since: string | null
  until: string | null
}

/** Days that are few enough, and what days of more are split into. */
async function groupsOf(
  span: Span,
  depth: number,
  counted: (unit: string, span: Span) => Promise<WarehouseRow[]>,
): Promise<Group[]> {
  const rows = await counted(units[depth] ?? 'second', span)
  const groups = rows.map(([since, count]): Group => ({ since: since ?? '', rows: Number(count) }))
  const split: Group[] = []
  for (const [index, group] of groups.entries()) {
    if (group.rows <= windowRows || depth + 1 >= units.length) {
      split.push(group)
      continue
    }
    const until = groups[index + 1]?.since ?? span.until
    split.push(...(await groupsOf({ since: group.since, until }, depth + 1, counted)))
  }
  return split
}

/** The time of an event in SQL; null where the column is none, or no time. */
function timeOf({ columns }: Relation): string | null {
  return columns.find(({ name, type }) => name === 'time' && type.startsWith('timestamp'))?.sql ?? null
}

function within(time: string, { since, until }: Span): string {
  return `${since === null ? '' : ` and ${time} >= ${literal(since)}`}${until === null ? '' : ` and ${time} < ${literal(until)}`}`
}

/** ` where …`, or nothing where a window is all of a table. */
export function whereOf(relation: Relation, window: Window): string {
  const time = timeOf(relation)
  if (window.kind === 'result') throw new Error('a Redshift keeps no results')
  if (window.kind === 'whole' || time === null || (window.since === null && window.until === null)) return ''
  const span = `true${within(time, window)}`
  // Windows tile: a row without a time is in the last one.
  return window.until === null ? ` where (${span}) or ${time} is null` : ` where ${span}`
}
