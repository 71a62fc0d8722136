import { reservedNames } from '@heapferry/domain'
import { storableText } from './storable-text.ts'

/** Names that no column has just because it is called so. */
const spokenFor: ReadonlySet<string> = new Set([
  ...reservedNames,
  'heap_browser',
  'heap_browser_version',
  'heap_initial_browser',
  'heap_initial_browser_version',
  'heap_initial_platform',
  'heap_platform',
])

/** Columns that Fivetran and Stitch add to their copies of Heap's tables. They change with every sync. */
export function isSyncColumn(column: string): boolean {
  return column.startsWith('_fivetran_') || column.startsWith('_sdc_')
}

/**
 * The property name of every custom column, in order: its own. Dots become `_`, because PostHog would read `plan.name` as
 * a `name` inside `plan`; names that are spoken for get `heap_` in front. Whoever had to change and meets a name that is
 * taken gets `_2`, `_3`, … behind; in alphabetical order, so that the order of the columns does not matter.
 */
export function customNames(columns: readonly string[], taken: Iterable<string>): string[] {
  const used = new Set(taken)
  const names = new Map<number, string>()
  const waiting: { index: number; column: string; wanted: string }[] = []
  for (const [index, column] of columns.entries()) {
    const wanted = permittedName(column)
    if (wanted === column && !used.has(wanted)) {
      used.add(wanted)
      names.set(index, wanted)
    } else {
      waiting.push({ index, column, wanted })
    }
  }
  waiting.sort((a, b) => (a.column < b.column ? -1 : a.column > b.column ? 1 : a.index - b.index))
  for (const { index, wanted } of waiting) {
    let name = wanted
    for (let number = 2; used.has(name); number++) name = `${wanted}_${number}`
    used.add(name)
    names.set(index, name)
  }
  return columns.map((column, index) => names.get(index) ?? column)
}

function permittedName(column: string): string {
  const name = storableText(column).replaceAll('.', '_')
  return name.startsWith('$') || spokenFor.has(name) ? `heap_${name}` : name
}
