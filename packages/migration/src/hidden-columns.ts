import type { Mapping, ReadRow, Table } from '@heapferry/domain'

/** What is shown in place of a value that the mapping wants nobody to see. */
export const hiddenText = { drop: '(dropped)', hash: '(hashed)' } as const

/** Columns whose values the mapping wants nobody to see, and what is shown in their place. */
export function hiddenColumns(table: Table, { identity, properties, tables }: Mapping): ReadonlyMap<string, string> {
  const { kind } = table
  const ofTable = { ...properties, ...tables[kind === 'groups' ? table.of : table.name]?.properties }
  // A row of the one-time export may be of any type.
  const ofTypes = kind === 'raw_events' ? Object.values(tables).map((one) => one.properties ?? {}) : []
  const hidden = new Map<string, string>(identity === 'hash' ? [['identity', hiddenText.hash]] : [])
  for (const [column, rule] of [ofTable, ...ofTypes].flatMap((rules) => Object.entries(rules))) {
    const as = typeof rule === 'string' ? rule : rule.as
    if (as === 'drop') hidden.set(column, hiddenText.drop)
    if (as === 'hash') hidden.set(column, hiddenText.hash)
  }
  return hidden
}

/** The row for somebody to look at. */
export function shownRow(row: ReadRow, table: Table, mapping: Mapping): ReadRow {
  if (row.kind !== 'row') return row
  const hidden = hiddenColumns(table, mapping)
  const values = row.values.map((value, index) =>
    value === null ? null : (hidden.get(row.columns[index] ?? '') ?? value),
  )
  return { ...row, values }
}
