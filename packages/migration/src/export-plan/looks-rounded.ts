import type { ReadRow } from '@heapferry/domain'

const idColumns = ['user_id', 'event_id', 'session_id'] as const

// Of so few, half may end in 0 by chance.
const fewestIds = 20

/**
 * Whether a spreadsheet has cut the ids of these rows to 15 digits. Heap draws ids at random: where more than half of
 * those with 16 digits end in 0, something has rounded them.
 */
export function looksRounded(rows: Iterable<ReadRow>): boolean {
  let long = 0
  let rounded = 0
  for (const row of rows) {
    if (row.kind !== 'row') continue
    for (const column of idColumns) {
      const id = row.values[row.columns.indexOf(column)] ?? ''
      if (!/^\d{16}$/.test(id)) continue
      long++
      if (id.endsWith('0')) rounded++
    }
  }
  return long >= fewestIds && rounded > long / 2
}
