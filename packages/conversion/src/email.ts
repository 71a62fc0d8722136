import type { ColumnRule, Columns, Mapping, Values } from '@heapferry/domain'
import { cellAt } from './compile-columns.ts'
import type { ColumnNulls } from './nulls.ts'

/** Stands for the address that a row of `users` tells without a column for it, among the columns that rows have. */
export const derivedEmail = '\0email'

/**
 * The e-mail address of a row of `users` whose `email` is empty: the identity that is one, else `_email`. Null where `email`
 * says it, and where the mapping says of `email` anything but how to hash it; what the mapping treats otherwise than it is
 * tells no address.
 */
export function compileEmail(
  columns: Columns,
  { mapping, table, nulls }: { mapping: Mapping; table: string; nulls: ColumnNulls },
): (values: Values) => string | null {
  const rule = ruleOf(mapping, table, 'email')
  if (rule !== undefined && !isHashed(rule)) return () => null
  const emailCell = cellAt(columns.indexOf('email'), nulls.ofProperty('email'))
  const identityCell = cellAt(mapping.identity === 'keep' ? columns.indexOf('identity') : -1, nulls.certain('identity'))
  const otherCell = cellAt(
    ruleOf(mapping, table, '_email') === undefined ? columns.indexOf('_email') : -1,
    nulls.ofProperty('_email'),
  )
  return (values) => {
    if (emailCell(values) !== null) return null
    return addressIn(identityCell(values)) ?? addressIn(otherCell(values))
  }
}

/** What a mapping says of a column of a table; undefined where it leaves the column as it is. */
function ruleOf({ properties, tables }: Mapping, table: string, column: string): ColumnRule | undefined {
  const rule = tables[table]?.properties?.[column] ?? properties[column]
  return rule === 'keep' ? undefined : rule
}

function isHashed(rule: ColumnRule): boolean {
  return rule === 'hash' || (typeof rule === 'object' && rule.as === 'hash' && (rule.name ?? 'email') === 'email')
}

function addressIn(text: string | null): string | null {
  const address = text?.trim() ?? ''
  return /^[^\s@<>"',;:()[\]\\]+@[^\s@<>"',;:()[\]\\]+\.[^\s@.<>"',;:()[\]\\]+$/.test(address) ? address : null
}
