import type { SentTable } from '@heapferry/domain'
import { DayMap } from './day-map.ts'
import type { RereadExport } from './reread-export.ts'

/** What is known of the events of one name and day: who sent them, and how many. */
export interface SentOfDay {
  rows: number
  /** Null until the export was read for it: nearly always each row is an event of its own. */
  different: number | null
  tables: Set<string>
}

/** What PostHog holds of them. */
export interface FoundOfDay {
  rows: number
  different: number
  uuids: number
}

export interface ComparedDay {
  event: string
  day: number
  sent: number
  expected: number
  found: number
  copies: number
}

/** What was sent, as the ledger has it, or the export where the ledger lacks counts and it was read. */
export function sentByDay(tables: readonly SentTable[], reread: RereadExport): DayMap<SentOfDay> {
  const sent = new DayMap<SentOfDay>()
  const add = ({ table, event, day, rows }: { table: string; event: string; day: number; rows: number }): void => {
    const known = sent.get(event, day) ?? { rows: 0, different: null, tables: new Set<string>() }
    known.rows += rows
    known.tables.add(table)
    sent.set(event, day, known)
  }
  for (const counted of tables) {
    const { table, events } = counted
    const fromSource = isCounted(counted) ? undefined : reread.countsOf(table)
    if (fromSource) for (const { event, day, value } of fromSource) add({ table, event, day, rows: value.rows })
    else for (const { event, days } of events) for (const [day, rows] of days) add({ table, event, day, rows })
  }
  for (const { event, day, value } of sent) value.different = differentOf(event, day, value, reread)
  return sent
}

/** Whether the counts by day of a table hold all that was sent of it. */
export function isCounted({ rows, events }: SentTable): boolean {
  let counted = 0
  for (const { days } of events) for (const count of days.values()) counted += count
  return counted === rows
}

export function isShort(sent: SentOfDay | undefined, found: FoundOfDay | undefined): boolean {
  return sent !== undefined && (found?.different ?? 0) < sent.rows
}

/** The tables whose rows may repeat each other: PostHog has less of them than was sent. */
export function doubtfulTables(sent: DayMap<SentOfDay>, found: DayMap<FoundOfDay>): Set<string> {
  const tables = new Set<string>()
  for (const { event, day, value } of sent) {
    if (value.different !== null || !isShort(value, found.get(event, day))) continue
    for (const table of value.tables) tables.add(table)
  }
  return tables
}

/** Takes over what was read of doubtful tables, so that no row is read for the same question again. */
export function settle(sent: DayMap<SentOfDay>, found: DayMap<FoundOfDay>, reread: RereadExport): void {
  for (const { event, day, value } of sent) {
    if (value.different !== null || !isShort(value, found.get(event, day))) continue
    for (const table of value.tables) reread.hasNone(table, event, day)
    value.different = differentOf(event, day, value, reread)
  }
}

/** Null where not all of the tables that sent such events were read. */
function differentOf(event: string, day: number, { tables, rows }: SentOfDay, reread: RereadExport): number | null {
  let repeated = 0
  for (const table of tables) {
    const known = reread.countsOf(table)?.get(event, day)
    if (!known) return null
    // The uuid of an event depends on its table, so no event of one table is one of another.
    repeated += known.rows - known.different
  }
  return rows - repeated
}

/** By day and name, ascending. */
export function* compareDays(sent: DayMap<SentOfDay>, found: DayMap<FoundOfDay>): Generator<ComparedDay> {
  for (const day of [...new Set([...sent.days(), ...found.days()])].toSorted((a, b) => a - b)) {
    for (const event of [...new Set([...sent.of(day).keys(), ...found.of(day).keys()])].toSorted()) {
      const known = sent.get(event, day)
      const held = found.get(event, day) ?? { rows: 0, different: 0, uuids: 0 }
      yield {
        event,
        day,
        sent: known?.rows ?? 0,
        expected: known?.different ?? known?.rows ?? 0,
        found: held.different,
        copies: held.rows - held.different,
      }
    }
  }
}
