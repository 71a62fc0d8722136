import type { Columns, Values } from '@heapferry/domain'
import type { Treatments } from './column-treatments.ts'
import { cellAt, type CellReader } from './compile-columns.ts'
import { type ColumnNulls, isKnownNull } from './nulls.ts'

/** PostHog drops a `$groupidentify` with a longer key, in UTF-16 units. */
const keyMaxLength = 400

/**
 * The key of the group that a row names in a column; null where it names none. It is always text, as it stands there or
 * hashed, so that events and people name the same group whatever kind of file they come from.
 */
export function compileGroupKey(
  columns: Columns,
  column: string,
  { treatments, nulls }: { treatments: Treatments; nulls: ColumnNulls },
): CellReader {
  const treatment = treatments.get(column)
  if (treatment?.kind === 'drop') return () => null
  const isNull = nulls.certain(column)
  const cell = cellAt(columns.indexOf(column), (text) => isKnownNull(text) || isNull(text))
  return (values: Values) => {
    const text = cell(values)
    if (text === null || text.length > keyMaxLength) return null
    return treatment?.hides === true ? String(treatment.valueOf(text, text)) : text
  }
}
