import { compileConverter } from '@heapferry/conversion'
import type { Columns, Conversion, Identities, Run, Table, Values } from '@heapferry/domain'

/** The converters of a run, compiled once for each table and order of columns. */
export function convertersOf(
  run: Run,
  identities: Identities,
): (table: Table, columns: Columns) => (values: Values) => Conversion {
  const { mapping, includeRecent, createdAtMs: startedAtMs } = run
  const context = { run: run.id, mapping, includeRecent, startedAtMs, identities }
  // Columns belong to a file, and a file to one table, so the array alone is the key.
  const compiled = new WeakMap<Columns, (values: Values) => Conversion>()
  return (table, columns) => {
    const known = compiled.get(columns)
    if (known) return known
    const convert = compileConverter(table, columns, context)
    compiled.set(columns, convert)
    return convert
  }
}
