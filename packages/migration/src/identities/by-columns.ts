import type { Columns } from '@heapferry/domain'

/** What is compiled for the columns of rows, once for each array of them: the rows of a file share theirs. */
export function byColumns<T>(compile: (columns: Columns) => T): (columns: Columns) => T {
  const compiled = new WeakMap<Columns, T>()
  return (columns) => {
    const known = compiled.get(columns)
    if (known !== undefined) return known
    const made = compile(columns)
    compiled.set(columns, made)
    return made
  }
}
