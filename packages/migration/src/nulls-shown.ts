import { columnNulls, isKnownNull, isTypedText } from '@heapferry/conversion'
import { type Mapping, nullsIn, type NullText, type ReadRow, type Table } from '@heapferry/domain'
import { grouped } from './wording.ts'

// What programs write for nothing in every column alike. Other words (unknown, none, -) an application has chosen itself,
// and may mean something by in another column.
const ofPrograms: ReadonlySet<string> = new Set([
  'NULL',
  'Null',
  'null',
  'None',
  'NaN',
  'nan',
  'NA',
  'N/A',
  'n/a',
  'nil',
])

/**
 * The texts that a table writes for nothing, as its rows show them: in a column whose other cells are all numbers, times or
 * truth values, or that cannot hold such a text, as an identity cannot. What programs write holds for the whole table.
 * @returns undefined where there are none, and where the mapping says it
 */
export function nullsShown(rows: readonly ReadRow[], table: Table, mapping: Mapping): NullText[] | undefined {
  if (nullsIn(mapping, table.name) !== undefined) return undefined
  const nulls = columnNulls(table, mapping)
  const columnsOf = new Map<string, string[]>()
  for (const [column, cells] of columnsIn(rows)) {
    const isCertain = nulls.certain(column)
    const texts = [...cells.keys()].filter(isKnownNull)
    const others = [...cells.keys()].filter((text) => !isKnownNull(text))
    const isTyped = others.length > 0 && others.every(isTypedText)
    for (const text of texts) {
      const isShown = isCertain(text) ? ofPrograms.has(text) : isTyped
      if (isShown) columnsOf.set(text, [...(columnsOf.get(text) ?? []), column])
    }
  }
  const shown = [...columnsOf].map(([text, columns]) => (ofPrograms.has(text) ? { text } : { text, columns }))
  return shown.length === 0 ? undefined : shown
}

/** What of the rows is taken for nothing, and what is not and looks so. */
export function nullNotices(rows: readonly ReadRow[], table: Table, mapping: Mapping): string[] {
  const nulls = columnNulls(table, mapping)
  const taken: string[] = []
  const kept: string[] = []
  for (const [column, cells] of columnsIn(rows)) {
    const isNull = nulls.ofProperty(column)
    for (const [text, count] of cells) {
      if (isNull(text)) taken.push(`${text} in ${grouped(count)} of ${column}`)
      else if (ofPrograms.has(text) && text !== 'NA') kept.push(`${text} in ${grouped(count)} of ${column}`)
    }
  }
  const of = `${table.name}: of the first ${grouped(rows.length)} rows`
  return [
    ...(taken.length === 0
      ? []
      : [`${of} these cells stand for nothing: ${listed(taken)}. null: in the mapping file says which texts do`]),
    ...(kept.length === 0
      ? []
      : [
          `${of} these cells are text that may stand for nothing: ${listed(kept)}. If so, give it as null: in the mapping file`,
        ]),
  ]
}

/** By column: its texts, and how often each stands there. */
function columnsIn(rows: readonly ReadRow[]): Map<string, Map<string, number>> {
  const columns = new Map<string, Map<string, number>>()
  for (const row of rows) {
    if (row.kind !== 'row') continue
    for (const [index, column] of row.columns.entries()) {
      const text = row.values[index] ?? null
      if (text === null || text === '') continue
      const cells = columns.get(column) ?? new Map<string, number>()
      if (cells.size === 0) columns.set(column, cells)
      cells.set(text, (cells.get(text) ?? 0) + 1)
    }
  }
  return columns
}

const listedCells = 8

function listed(cells: readonly string[]): string {
  const more = cells.length - listedCells
  return `${cells.slice(0, listedCells).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
