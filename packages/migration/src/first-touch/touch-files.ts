import { wantsTable } from '@heapferry/conversion'
import type { Mapping, Table, TableKind } from '@heapferry/domain'
import type { FoundTable } from '../mapping-notices.ts'

/** What tells when people came first: a session says more of it than a page, and a page more than an event. */
const inOrder: readonly (readonly TableKind[])[] = [['sessions'], ['pageviews'], ['event', 'raw_events']]

/** Heap's columns of where somebody was. */
export const heapPlaceColumns: readonly string[] = ['city', 'region', 'country']

/** The files (or tables) that tell when people came first, and what that is called; empty where none does. */
export function touchFiles<T extends FoundTable>(files: readonly T[], mapping: Mapping): { from: string; files: T[] } {
  for (const kinds of inOrder) {
    const found = files.filter((file) => kinds.includes(file.table.kind) && tells(file, mapping))
    const [first] = found
    if (first) return { from: kinds.includes('event') ? 'events' : first.table.kind, files: found }
  }
  return { from: 'events', files: [] }
}

/** Sessions are no events: a filter of those leaves them in. */
function tells({ table, columns }: FoundTable, mapping: Mapping): boolean {
  if (table.kind === 'sessions') return columns.includes('user_id') && columns.includes('time')
  return table.kind === 'raw_events' || wantsTable(mapping, table.name)
}

/** The table as which its rows are read, and the mapping by which: as a session would be converted if PostHog took such. */
export function asEvents(table: Table, mapping: Mapping): { table: Table; mapping: Mapping } {
  if (table.kind !== 'sessions') return { table, mapping }
  const { tables: _, ...filter } = mapping.filter
  return { table: { kind: 'event', name: table.name }, mapping: { ...mapping, filter } }
}
