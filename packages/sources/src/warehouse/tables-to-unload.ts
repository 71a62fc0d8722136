import {
  isHelperOfHeap,
  type Mapping,
  OperatorError,
  requiredColumns,
  type Table,
  tableOf,
  tableSaid,
} from '@heapferry/domain'
import { singular } from '../export/known-tables.ts'
import { renamedColumns } from '../export/renamed-columns.ts'
import type { Catalogue, Relation } from './warehouse.ts'

/** A table of which nothing is unloaded, by the mapping or because no event is made of it. */
export interface LeftOutTable {
  table: Table
  /** As the mapping calls them. */
  columns: readonly string[]
}

/** Which tables of a schema are unloaded, and as which; the others are told. */
export function tablesToUnload(
  { relations }: Pick<Catalogue, 'relations'>,
  mapping: Mapping,
): { tables: { table: Table; relation: Relation }[]; leftOut: LeftOutTable[]; notices: string[] } {
  const names = new Set(relations.map(({ name }) => name.toLowerCase()))
  const tables: { table: Table; relation: Relation }[] = []
  const leftOut: LeftOutTable[] = []
  for (const relation of relations.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const table = tableNamed(nameOf(relation, names), relation.columns, mapping)
    if (tables.some((one) => one.table.name === table.name))
      throw new OperatorError(
        `The warehouse has two tables ${table.name}, which differ in upper and lower case alone`,
        'Make a view of one of them under another name, in a schema of its own, and give that schema.',
      )
    if (table.kind === 'all_events' || (table.kind === 'helper' && !isHelperOfHeap(table.name))) {
      leftOut.push({ table, columns: columnsIn(table.name, relation.columns, mapping) })
      continue
    }
    assertColumns(table, relation, mapping)
    tables.push({ table, relation })
  }
  if (tables.length === 0)
    throw new OperatorError(
      `None of the ${relations.length} tables of the schema holds people or events of Heap`,
      'Check the name of the schema: Heap writes to one such as main_production, in which the tables users and pageviews are.',
    )
  const isByMapping = ({ table }: LeftOutTable) => table.kind === 'helper' && table.leftOutBy === 'mapping'
  const left = leftOut.filter(isByMapping).map(({ table }) => table.name)
  const idle = leftOut.filter((one) => !isByMapping(one)).map(({ table }) => table.name)
  return {
    tables,
    leftOut,
    notices: [
      ...(idle.length === 0
        ? []
        : [`Not unloaded, as no event is made of them (no user_id and time, or only copies): ${listed(idle)}`]),
      ...(left.length === 0 ? [] : [`Not unloaded, as the mapping leaves them out: ${listed(left)}`]),
    ],
  }
}

export function listed(names: readonly string[]): string {
  const shown = names.slice(0, 20).join(', ')
  return names.length > 20 ? `${shown} and ${names.length - 20} more` : shown
}

/** Fivetran calls `users` by the singular. */
function nameOf({ name, columns }: Relation, names: ReadonlySet<string>): string {
  const lower = name.toLowerCase()
  const plural = singular.get(lower)
  if (plural === undefined || names.has(plural)) return lower
  const { kind } = tableOf(plural, [])
  return requiredColumns(kind).every((column) => columns.some((one) => one.name === column)) ? plural : lower
}

export function tableNamed(name: string, columns: Relation['columns'], mapping: Mapping): Table {
  return tableSaid(mapping, name) ?? tableOf(name, columnsIn(name, columns, mapping))
}

/** As the mapping calls them. */
export function columnsIn(table: string, columns: Relation['columns'], mapping: Mapping): readonly string[] {
  const names = columns.map(({ name }) => name)
  return renamedColumns(names, mapping, { path: table, table, areOrdered: true })
}

/** Before anything is unloaded that could not be read afterwards. */
function assertColumns({ kind, name }: Table, { columns }: Relation, mapping: Mapping): void {
  const known = columnsIn(name, columns, mapping)
  const missing = requiredColumns(kind).filter((column) => !known.includes(column))
  if (missing.length === 0) return
  throw new OperatorError(
    `The table ${name} needs the columns ${requiredColumns(kind).join(', ')}; in the warehouse it has no ${missing.join(', ')}`,
    `Where it is not Heap's, leave it out in the mapping file: tables: { ${JSON.stringify(name)}: { kind: skip } }. Where a column has another name there: columns: { NAME: ${missing[0]} }.`,
  )
}
