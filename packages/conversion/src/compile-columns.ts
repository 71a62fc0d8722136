import { type Columns, idColumns, isRowIndex, timeColumns, type Types, type Values } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import type { Treatments, ValueOf } from './column-treatments.ts'
import { declaredValue } from './declared-values.ts'
import { parseHeapTime } from './heap-time.ts'
import type { ColumnNulls, IsNull } from './nulls.ts'
import { customNames, isSyncColumn } from './property-names.ts'
import type { Setter } from './known-columns.ts'
import type { Properties } from './properties.ts'
import { storableText } from './storable-text.ts'

/** Reads one column of a row: text that PostHog can store, null where the column is absent or blank. */
export type CellReader = (values: Values) => string | null

export interface CompiledColumns {
  /** The cell of a column by name; for one that the mapping treats otherwise it is as if the column were not there. */
  cell(column: string): CellReader
  /** The same, whatever the mapping says: what makes an event the one that it is does not depend on that. */
  keyCell(column: string): CellReader
  has(column: string): boolean
  /**
   * Sets what every cell of the row means: the known columns first, those that the mapping speaks of last. What Heap's own
   * columns mean is told by their text; a custom column is what its type says.
   */
  describe(values: Values, properties: Properties, types?: Types): void
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
  otherwise?: (column: string) => ValueSetter | undefined
  /** The columns that `describe` is about; all, unless told otherwise. */
  about?: (column: string) => boolean
  /** What the mapping says of columns, all of a name alike. Such a column means nothing else. */
  treatments: Treatments
  nulls: ColumnNulls
}

/** Of a custom column: text, or what its type says. */
export type ValueSetter = (properties: Properties, value: unknown) => void

/**
 * Decides once for all rows what becomes of each column. Columns that copying tools have added, and numbers of rows, are
 * nothing. Of columns with the same name the first is the known one, the others are custom.
 */
export function compileColumns(columns: Columns, meanings: ColumnMeanings): CompiledColumns {
  const { treatments, nulls } = meanings
  const all = columns.map((column, index) => ({ column, index })).filter(({ column }) => !isSyncColumn(column))
  const first = new Map<string, number>()
  for (const { column, index } of all) if (!first.has(column)) first.set(column, index)
  const keyCell = (column: string): CellReader => cellAt(first.get(column) ?? -1, nulls.certain(column))
  return {
    cell: (column) => (treatments.has(column) ? () => null : keyCell(column)),
    keyCell,
    has: (column) => first.has(column) && !treatments.has(column),
    describe: compileDescription(all, first, meanings),
    content: compileContent(all),
  }
}

interface IndexedColumn {
  column: string
  index: number
}

function compileDescription(
  all: readonly IndexedColumn[],
  first: ReadonlyMap<string, number>,
  { consumed, known, otherwise = () => undefined, about = () => true, treatments, nulls }: ColumnMeanings,
): CompiledColumns['describe'] {
  const steps: { index: number; isNull: IsNull; set: Setter }[] = []
  for (const [column, set] of known) {
    const index = first.get(column)
    if (index !== undefined && !treatments.has(column)) steps.push({ index, isNull: nulls.ofProperty(column), set })
  }
  const custom: IndexedColumn[] = []
  const ownSteps: { index: number; isNull: IsNull; set: ValueSetter }[] = []
  const treatedSteps: { index: number; isNull: IsNull; name: string; valueOf: ValueOf }[] = []
  for (const { column, index } of all) {
    if (!about(column) || (isRowIndex(column) && !treatments.has(column))) continue
    const isFirst = first.get(column) === index
    const isNull = nulls.ofProperty(column)
    const treatment = treatments.get(column)
    if (treatment?.kind === 'drop') continue
    if (treatment) {
      const { name, valueOf } = treatment
      if (isFirst && name !== undefined) treatedSteps.push({ index, isNull, name, valueOf })
      else custom.push({ index, column })
      continue
    }
    if (isFirst && (consumed.has(column) || known.has(column))) continue
    const set = isFirst ? otherwise(column) : undefined
    if (set) ownSteps.push({ index, isNull, set })
    else custom.push({ index, column })
  }
  const names = customNames(
    custom.map(({ column }) => column),
    [
      ...[...consumed, ...known.keys()].filter((column) => !treatments.has(column)),
      ...treatedSteps.map(({ name }) => name),
    ],
  )
  const customSteps: { index: number; isNull: IsNull; name: string }[] = []
  for (const [nth, { index, column }] of custom.entries()) {
    const name = names[nth] ?? column
    const treatment = treatments.get(column)
    const isNull = nulls.ofProperty(column)
    if (treatment?.kind === 'property') treatedSteps.push({ index, isNull, name, valueOf: treatment.valueOf })
    else customSteps.push({ index, isNull, name })
  }

  return (values, properties, types) => {
    for (const { index, isNull, set } of steps) {
      const value = values[index] ?? null
      if (value !== null && !isBlank(value) && !isNull(value)) set(properties, storableText(value))
    }
    for (const { index, isNull, set } of ownSteps) {
      const value = values[index] ?? null
      if (value !== null && !isBlank(value) && !isNull(value)) set(properties, valueIn(value, types, index))
    }
    for (const { index, isNull, name } of customSteps) {
      const value = values[index] ?? null
      if (value !== null && value !== '' && !isNull(value)) properties.set(name, valueIn(value, types, index))
    }
    for (const { index, isNull, name, valueOf } of treatedSteps) {
      const value = values[index] ?? null
      if (value !== null && value !== '' && !isNull(value))
        properties.set(name, valueOf(storableText(value), valueIn(value, types, index)))
    }
  }
}

function valueIn(text: string, types: Types | undefined, index: number): unknown {
  const type = types?.[index]
  return type === undefined ? storableText(text) : declaredValue(text, type)
}

function compileContent(all: readonly IndexedColumn[]): CompiledColumns['content'] {
  const sorted = all
    .map((one) => ({ ...one, spelling: spellingOf(one.column) }))
    .toSorted((a, b) => (a.column < b.column ? -1 : a.column > b.column ? 1 : a.index - b.index))

  return (values) => {
    let content = ''
    for (const { column, index, spelling } of sorted) {
      const value = values[index] ?? null
      if (value === null || value === '') continue
      const text = spelling(value)
      // Lengths in front: no text in a cell can pass for the next column.
      content += `${column.length}:${column}=${text.length}:${text}`
    }
    return content
  }
}

/** Hardly a cell begins with a space, so hardly one has to be searched. */
function isBlank(text: string): boolean {
  const first = text.charCodeAt(0)
  return !(first > 0x20 && first < 0x80) && text.trim() === ''
}

/** The cell at an index of the columns; always null for -1. `isNull`: texts that stand for nothing; none unless told. */
export function cellAt(index: number, isNull: IsNull = () => false): CellReader {
  if (index === -1) return () => null
  return (values) => {
    const value = values[index] ?? null
    return value === null || isBlank(value) || isNull(value) ? null : storableText(value)
  }
}

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
