import { hash as digest } from 'node:crypto'
import type { Columns, Table, Values } from '@heapferry/domain'
import { treatmentsOf } from './column-treatments.ts'
import { compileColumns, type CompiledColumns } from './compile-columns.ts'
import type { ConversionContext } from './context.ts'
import { compileGroupKey } from './group-key.ts'
import { columnNulls } from './nulls.ts'
import { remembered } from './remembered.ts'

/** What a row of people says of the group that it names. */
interface GroupRow {
  key: string
  values: readonly GroupValue[]
}

interface GroupValue {
  column: string
  /** 64 bits of which property of which group it is, and of that together with the row that has it. */
  property: bigint
  row: bigint
}

export interface GroupRows {
  /** Null where the row names no group, or has none of its properties. */
  groupIn(values: Values): GroupRow | null
  compiled: CompiledColumns
}

type GroupsTable = Extract<Table, { kind: 'groups' }>

/** The table of people of which a table of groups is the second reading. */
export function usersTableOf({ of, dump, nulls }: GroupsTable): Extract<Table, { kind: 'users' }> {
  return { kind: 'users', name: of, ...(dump !== undefined && { dump }), ...(nulls && { nulls }) }
}

export function compileGroupRows(
  table: GroupsTable,
  columns: Columns,
  context: Pick<ConversionContext, 'mapping' | 'hash' | 'onUncast'>,
): GroupRows {
  const users = usersTableOf(table)
  const { key = '', properties = [] } = context.mapping.groups[table.group] ?? {}
  const treatments = treatmentsOf(context, [users.name])
  const nulls = columnNulls(users, context.mapping)
  const keyIn = compileGroupKey(columns, key, { treatments, nulls })
  const wanted = properties.flatMap((column) => {
    const index = treatments.get(column)?.kind === 'drop' ? -1 : columns.indexOf(column)
    return index === -1 ? [] : [{ column, index, isNull: nulls.ofProperty(column) }]
  })
  const compiled = compileColumns(columns, {
    consumed: new Set(),
    known: new Map(),
    about: (column) => properties.includes(column),
    treatments,
    nulls,
  })
  // People of one group name it again and again.
  const propertyOf = remembered((name) => ({ property: bitsOf(name) }))
  return {
    compiled,
    groupIn(values) {
      const group = keyIn(values)
      if (group === null) return null
      const filled = wanted.filter(({ index, isNull }) => {
        const value = values[index] ?? null
        return value !== null && value !== '' && !isNull(value)
      })
      if (filled.length === 0) return null
      const content = bitsOf(compiled.content(values))
      return {
        key: group,
        values: filled.map(({ column }) => {
          const { property } = propertyOf(`${table.group}\0${group}\0${column}`)
          return { column, property, row: property ^ content }
        }),
      }
    },
  }
}

function bitsOf(text: string): bigint {
  return digest('sha256', text, 'buffer').readBigInt64LE(0)
}
