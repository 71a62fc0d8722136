import { type Cast, castText } from '@heapferry/conversion'
import type { ReadRow } from '@heapferry/domain'
import type { TablePlan } from './export-plan.ts'

/** What the text of a column could be read as, of sampled rows. */
export interface TextKinds {
  /** Cells with text in them that no format declares to be something else. */
  values: number
  number: number
  boolean: number
  date: number
}

/** By column. */
export function textKindsOf(rows: Iterable<ReadRow>): Map<string, TextKinds> {
  const kinds = new Map<string, TextKinds>()
  for (const row of rows) {
    if (row.kind !== 'row') continue
    for (const [index, column] of row.columns.entries()) {
      const text = row.values[index]?.trim() ?? ''
      if (text === '' || row.types?.[index] !== undefined) continue
      const known = kinds.get(column) ?? { values: 0, number: 0, boolean: 0, date: 0 }
      kinds.set(column, known)
      known.values++
      const kind = kindOf(text)
      if (kind !== undefined) known[kind]++
    }
  }
  return kinds
}

/** Codes and phone numbers are written with digits, but begin with zeros; ids are too long. */
function kindOf(text: string): Cast | undefined {
  if (/^(?:true|false|t|f|yes|no)$/i.test(text)) return 'boolean'
  if (/^-?(?:0|[1-9]\d*)(?:\.\d+)?$/.test(text)) return castText('number', text) === undefined ? undefined : 'number'
  return /^\d{4}-\d\d-\d\d/.test(text) && castText('date', text) !== undefined ? 'date' : undefined
}

/** What the mapping could make of the text of a column, in all tables that have it. */
export interface SuggestedCast {
  column: string
  as: Cast
  values: number
  /** Values that would stay text. */
  exceptions: number
  tables: string[]
}

const fewestValues = 2
const mostExceptions = 0.05

/** Of the columns under their own names whose text is something else throughout, by their names. */
export function suggestedCasts(tables: readonly Pick<TablePlan, 'table' | 'columns'>[]): SuggestedCast[] {
  const found = new Map<string, TextKinds & { tables: string[] }>()
  for (const { table, columns } of tables) {
    for (const { column, text } of columns) {
      if (!text) continue
      const known = found.get(column) ?? { values: 0, number: 0, boolean: 0, date: 0, tables: [] }
      found.set(column, known)
      for (const key of ['values', 'number', 'boolean', 'date'] as const) known[key] += text[key]
      known.tables.push(table)
    }
  }
  return [...found]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([column, { values, tables: where, ...kinds }]): SuggestedCast[] => {
      const [as] = (['number', 'boolean', 'date'] as const).toSorted((a, b) => kinds[b] - kinds[a])
      const exceptions = as === undefined ? values : values - kinds[as]
      const isSo = as !== undefined && values >= fewestValues && exceptions <= values * mostExceptions
      return isSo ? [{ column, as, values, exceptions, tables: where }] : []
    })
}
