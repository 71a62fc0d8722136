import type { Columns, Values } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { parseHeapTime } from './heap-time.ts'
import { customNames, isSyncColumn } from './property-names.ts'
import type { Properties, Setter } from './known-columns.ts'
import { storableText } from './storable-text.ts'

/** Reads one column of a row: text that PostHog can store, null where the column is absent or blank. */
export type Cell = (values: Values) => string | null

export interface ColumnPlan {
  /** The cell of a column by name. */
  cell(column: string): Cell
  has(column: string): boolean
  /** Sets what every cell of the row means, the known columns first. */
  describe(values: Values, properties: Properties): void
  /**
   * The row's content, whatever the order of its columns and whichever of them are absent or null, and whatever kind of
   * file it comes from: each writes ids and times in a way of its own.
   */
  content(values: Values): string
}

export interface ColumnMeanings {
  /** Columns that the caller reads itself; they become no property by themselves. */
  consumed: ReadonlySet<string>
  /** In the order of setting. */
  known: ReadonlyMap<string, Setter>
  /** For columns that are neither; undefined makes a custom property of them. */
  otherwise?: (column: string) => Setter | undefined
  /** The columns that `describe` is about; all, unless told otherwise. */
  about?: (column: string) => boolean
}

/**
 * Decides once for all rows what becomes of each column. Columns that copying tools have added are nothing. Of columns
 * with the same name the first is the known one, the others are custom.
 */
export function planColumns(columns: Columns, meanings: ColumnMeanings): ColumnPlan {
  const { consumed, known, otherwise = () => undefined, about = () => true } = meanings
  const all = columns.map((column, index) => ({ column, index })).filter(({ column }) => !isSyncColumn(column))
  const first = new Map<string, number>()
  for (const { column, index } of all) if (!first.has(column)) first.set(column, index)

  const steps: { index: number; set: Setter }[] = []
  for (const [column, set] of known) {
    const index = first.get(column)
    if (index !== undefined) steps.push({ index, set })
  }
  const custom: { index: number; column: string }[] = []
  for (const { column, index } of all) {
    const isFirst = first.get(column) === index
    if (!about(column) || (isFirst && (consumed.has(column) || known.has(column)))) continue
    const set = isFirst ? otherwise(column) : undefined
    if (set) steps.push({ index, set })
    else custom.push({ index, column })
  }
  const names = customNames(
    custom.map(({ column }) => column),
    [...consumed, ...known.keys()],
  )
  const customSteps = custom.map(({ index, column }, nth) => ({ index, name: names[nth] ?? column }))
  const sorted = all
    .map((one) => ({ ...one, spelling: spellingOf(one.column) }))
    .toSorted((a, b) => (a.column < b.column ? -1 : a.column > b.column ? 1 : a.index - b.index))

  return {
    cell(column) {
      const index = first.get(column)
      if (index === undefined) return () => null
      return (values) => {
        const value = values[index] ?? null
        return value === null || value.trim() === '' ? null : storableText(value)
      }
    },
    has: (column) => first.has(column),
    describe(values, properties) {
      for (const { index, set } of steps) {
        const value = values[index] ?? null
        if (value !== null && value.trim() !== '') set(properties, storableText(value))
      }
      for (const { index, name } of customSteps) {
        const value = values[index] ?? null
        if (value !== null && value !== '') properties[name] = storableText(value)
      }
    },
    content(values) {
      let content = ''
      for (const { column, index, spelling } of sorted) {
        const value = values[index] ?? null
        if (value === null || value === '') continue
        const text = spelling(value)
        // Lengths in front: no text in a cell can pass for the next column.
        content += `${column.length}:${column}=${text.length}:${text}`
      }
      return content
    },
  }
}

const idColumns: ReadonlySet<string> = new Set(['user_id', 'event_id', 'session_id', 'from_user_id', 'to_user_id'])
const timeColumns: ReadonlySet<string> = new Set([
  'time',
  'session_time',
  'joindate',
  'last_modified',
  'lastseen',
  'identity_time',
])

/** One spelling for all that mean the same id or time; any other text as it is. */
function spellingOf(column: string): (value: string) => string {
  if (idColumns.has(column)) {
    return (value) => {
      const reading = canonicalId(value)
      return reading.kind === 'id' ? reading.id : value
    }
  }
  if (!timeColumns.has(column)) return (value) => value
  return (value) => {
    const ms = parseHeapTime(value)
    return ms === undefined ? value : String(ms)
  }
}
