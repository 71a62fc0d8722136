import { emptyTally, Phase, RejectReason, SkipReason, type TableProgress, Warning } from '@heapferry/domain'

/** Counters are fields `<counter>|<table>`, and `phase|<table>` is none; those of phases have other names. */
export function tablesOf(totals: Record<string, string>): TableProgress[] {
  const tables = new Map<string, Omit<TableProgress, 'table'>>()
  for (const [field, value] of Object.entries(totals)) {
    const bar = field.indexOf('|')
    const counter = field.slice(0, bar)
    const name = field.slice(bar + 1)
    if (counter === 'planned' || counter === 'done') continue
    const table = tables.get(name) ?? { phase: null, planned: 0, tally: structuredClone(emptyTally) }
    tables.set(name, table)
    if (counter === 'phase') table.phase = Phase.parse(value)
    const count = Number(value)
    const [group, reason] = counter.split('.')
    if (counter === 'rows') table.planned = count
    else if (counter === 'read' || counter === 'sent') table.tally[counter] = count
    else if (group === 'skipped') table.tally.skipped[SkipReason.parse(reason)] = count
    else if (group === 'rejected') table.tally.rejected[RejectReason.parse(reason)] = count
    else if (group === 'warned') table.tally.warned[Warning.parse(reason)] = count
  }
  return [...tables]
    .map(([table, progress]) => ({ table, ...progress }))
    .toSorted((a, b) => (a.table < b.table ? -1 : 1))
}
