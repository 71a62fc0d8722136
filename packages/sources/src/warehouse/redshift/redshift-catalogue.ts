import { OperatorError } from '@heapferry/domain'
import { assertNoTwins } from '../twin-columns.ts'
import type { Catalogue, WarehouseRow, Relation } from '../warehouse.ts'
import type { RedshiftAddress } from './redshift-address.ts'
import { redshiftColumn } from './redshift-columns.ts'
import { grantsText, isOfAlteredTable, literal, reasonOf } from './redshift-fault.ts'

/**
 * The tables and views of a schema with their columns.
 * @throws OperatorError that names what may not be read and the statement which allows it
 */
export async function redshiftCatalogue(
  { schema, user: named, database, text }: RedshiftAddress,
  query: (sql: string) => Promise<WarehouseRow[]>,
): Promise<Catalogue> {
  // The columns of views that are bound late are told by Redshift's own catalogue alone, which PostgreSQL does not have.
  const columnsOf = (catalogue: string) =>
    query(
      `select table_name, column_name, data_type from ${catalogue} where table_schema = ${literal(schema)} order by table_name, ordinal_position`,
    )
  const rows = await columnsOf('svv_columns').catch((error: unknown) => {
    if (!isOfAlteredTable(reasonOf(error))) throw error
    return columnsOf('information_schema.columns')
  })
  const byTable = new Map<string, { name: string; type: string }[]>()
  for (const [table, name, type] of rows) {
    if (table === null || table === undefined || name === null || name === undefined) continue
    byTable.set(table, [...(byTable.get(table) ?? []), { name, type: type ?? '' }])
  }

  // Redshift casts no boolean to text.
  const relations = await query(
    `select c.relname::varchar, case when has_table_privilege(c.oid, 'select') then 'may' end from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = ${literal(schema)} and c.relkind in ('r', 'v', 'm', 'p', 'f')`,
  )
  const forbidden = relations.flatMap(([name, may]) => (name && may !== 'may' ? [name] : [])).toSorted()
  const isRefused = forbidden.length > 0 || byTable.size === 0
  const [[whoami] = []] = isRefused && named === null ? await query('select current_user::varchar') : []
  const user = named ?? whoami ?? null
  if (forbidden.length > 0) {
    const shown = forbidden.slice(0, 5).join(', ')
    throw new OperatorError(
      `${user} may not read ${forbidden.length === 1 ? 'the table' : `${forbidden.length} tables`} ${shown}${forbidden.length > 5 ? ' …' : ''} of the schema ${schema}`,
      `${grantsText(schema, user)} Nothing is left out silently.`,
    )
  }
  if (byTable.size === 0) {
    throw new OperatorError(
      `${text} has no table that ${user} can see`,
      `Check the name of the schema (of those in ${database}: select nspname from pg_namespace), and the rights. ${grantsText(schema, user)}`,
    )
  }
  const notices: string[] = []
  const found = [...byTable].map(([name, columns]): Relation => {
    assertNoTwins(name, columns)
    return {
      name,
      columns: columns.flatMap((column) => {
        const read = redshiftColumn(column.name, column.type)
        if (read === null)
          notices.push(`${name}: the column ${column.name} is of the type ${column.type} and is left out`)
        return read ?? []
      }),
    }
  })
  return { relations: found, notices }
}
