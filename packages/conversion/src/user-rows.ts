import { hash } from 'node:crypto'
import type { Columns, Mapping, Table, Values } from '@heapferry/domain'
import { cellAt, compileColumns } from './compile-columns.ts'
import { noTreatments } from './column-treatments.ts'
import { compileIsDeleted } from './deleted-rows.ts'
import { compileEmail } from './email.ts'
import { compileConditions } from './event-filter.ts'
import { parseHeapDate } from './heap-time.ts'
import { columnNulls } from './nulls.ts'
import { earliestMs } from './outcomes.ts'

/** What tells which of several rows of a person is the newest, compiled for the columns of a table of users. */
export interface UserRows {
  /** Whether anything of the row is to be sent. */
  counts(values: Values): boolean
  /** Milliseconds since 1970; -Infinity where the row does not tell. */
  lastModifiedMs(values: Values): number
  joindateMs(values: Values): number
  key(values: Values): number
  /** Whether it tells an e-mail address without a column for it. */
  tellsEmail(values: Values): boolean
  /** The row without texts that stand for nothing. */
  filled(values: Values): Values
}

export function compileUserRows(table: Table, columns: Columns, mapping: Mapping): UserRows {
  const isDeleted = compileIsDeleted(columns, mapping)
  const meetsConditions = compileConditions(columns, Object.entries(mapping.tables[table.name]?.where ?? {}))
  const nulls = columnNulls(table, mapping)
  const areNull = columns.map((column) => nulls.ofProperty(column))
  const timeIn = (column: string) => {
    const cell = cellAt(columns.indexOf(column), nulls.certain(column))
    return (values: Values): number => {
      const text = cell(values)
      const ms = text === null ? undefined : parseHeapDate(text)
      return ms !== undefined && ms >= earliestMs ? ms : Number.NEGATIVE_INFINITY
    }
  }
  const emailIn = compileEmail(columns, { mapping, table: table.name, nulls })
  const { content } = compileColumns(columns, {
    consumed: new Set(),
    known: new Map(),
    treatments: noTreatments,
    nulls,
  })
  return {
    counts: (values) => !isDeleted?.(values) && meetsConditions?.(values) !== false,
    lastModifiedMs: timeIn('last_modified'),
    joindateMs: timeIn('joindate'),
    key: (values) => userRowKey(content(values)),
    tellsEmail: (values) => emailIn(values) !== null,
    filled: (values) =>
      values.map((value, index) => (value !== null && areNull[index]?.(value) === true ? null : value)),
  }
}

/** What a row without any date that can be read has in place of the first; null where a date can be read, or none stands there. */
export function compileUndated(
  table: Table,
  columns: Columns,
  mapping: Mapping,
): (values: Values) => { column: string; text: string } | null {
  const nulls = columnNulls(table, mapping)
  const cells = userTimeColumns.map((column) => ({
    column,
    cell: cellAt(columns.indexOf(column), nulls.certain(column)),
  }))
  return (values) => {
    let fault: { column: string; text: string } | null = null
    for (const { column, cell } of cells) {
      const text = cell(values)
      if (text === null || isInvalidDate(text)) continue
      const ms = parseHeapDate(text)
      if (ms === undefined) fault ??= { column, text }
      else if (ms >= earliestMs) return null
    }
    return fault
  }
}

/** A person's times, in the order in which they are asked for the event's timestamp. */
export const userTimeColumns = ['joindate', 'identity_time', 'last_modified', 'lastseen'] as const

/** What JavaScript prints for no date at all, as Heap's JSON exports have it, and a column of numbers for no number. */
export function isInvalidDate(text: string): boolean {
  return /^\s*(?:invalid date|nan)\s*$/i.test(text)
}

/** What Heap saw first of a person: the earliest row knows it best. Of all else the newest does. */
export function isFirstColumn(column: string): boolean {
  return column.startsWith('initial_') || column === 'joindate'
}

/** 32 bits of the row's content, by which a worker knows the row again: enough to tell the few rows of one user apart. */
export function userRowKey(content: string): number {
  return Number.parseInt(hash('sha256', content, 'hex').slice(0, 8), 16)
}
