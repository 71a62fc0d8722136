import type { Columns, Condition, Mapping, Values } from '@heapferry/domain'
import { cellAt } from './compile-columns.ts'

/** Whether events of a table, or of a type, are to be sent at all. */
export function wantsTable({ filter: { tables } }: Mapping, name: string): boolean {
  const matches = (pattern: string): boolean => matchesPattern(pattern, name)
  const isIncluded = tables?.include === undefined || tables.include.some(matches)
  return isIncluded && !tables?.exclude?.some(matches)
}

/**
 * `*` stands for any characters. What stands between two of them is taken where it is found first, since what comes behind
 * has the more to choose from: nothing is tried twice, as a regular expression would.
 */
function matchesPattern(pattern: string, name: string): boolean {
  const [start = '', ...parts] = pattern.split('*')
  const end = parts.pop()
  if (end === undefined) return name === start
  const until = name.length - end.length
  let at = start.length
  if (at > until || !name.startsWith(start) || !name.endsWith(end)) return false
  for (const part of parts) {
    const found = name.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return at <= until
}

/** From `fromMs` on, and before `toMs`. */
export function wantedTime({ filter: { from, to } }: Mapping): { fromMs: number; toMs: number } {
  return {
    fromMs: from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(from),
    toMs: to === undefined ? Number.POSITIVE_INFINITY : Date.parse(to),
  }
}

/** Whether a row meets all conditions; null where there are none. */
export function compileConditions(
  columns: Columns,
  conditions: readonly (readonly [string, Condition])[],
): ((values: Values) => boolean) | null {
  if (conditions.length === 0) return null
  const tests = conditions.map(([column, condition]) => ({
    cell: cellAt(columns.indexOf(column)),
    meets: compileCondition(condition),
  }))
  return (values) => tests.every(({ cell, meets }) => meets(cell(values)))
}

/** @returns a test of the cell's text, null where it is empty */
function compileCondition(condition: Condition): (text: string | null) => boolean {
  const { equals, not_equals, exists } = condition
  if (equals !== undefined) return (text) => text === equals
  if (not_equals !== undefined) return (text) => text !== not_equals
  if (exists !== undefined) return (text) => (text !== null) === exists
  if (condition.in !== undefined) {
    const wanted: ReadonlySet<string | null> = new Set(condition.in)
    return (text) => wanted.has(text)
  }
  const unwanted: ReadonlySet<string | null> = new Set(condition.not_in)
  return (text) => !unwanted.has(text)
}
