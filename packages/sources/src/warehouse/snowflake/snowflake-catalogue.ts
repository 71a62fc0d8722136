import { OperatorError } from '@heapferry/domain'
import { assertNoTwins } from '../twin-columns.ts'
import type { Catalogue, Relation, WarehouseRow } from '../warehouse.ts'
import { literal, quoted } from './snowflake-address.ts'
import { snowflakeColumn } from './snowflake-columns.ts'
import { type FaultContext, grantsText } from './snowflake-fault.ts'

/**
 * The tables and views of a schema with their columns. Snowflake shows nobody what he may not read.
 * @throws OperatorError that tells the statements which allow it, when nothing is to be seen
 */
export async function snowflakeCatalogue(
  context: FaultContext,
  query: (sql: string) => Promise<WarehouseRow[]>,
): Promise<Catalogue> {
  const { database, schema, text } = context.address
  const rows = await query(
    `select table_name, column_name, data_type, numeric_scale from ${quoted(database)}.information_schema.columns where table_schema = ${literal(schema)} order by table_name, ordinal_position`,
  )
  const byTable = new Map<string, { name: string; type: string; scale: string | null }[]>()
  for (const [table, name, type, scale] of rows) {
    if (table === null || table === undefined || name === null || name === undefined) continue
    const columns = byTable.get(table) ?? []
    columns.push({ name, type: type ?? '', scale: scale ?? null })
    byTable.set(table, columns)
  }
  if (byTable.size === 0) {
    throw new OperatorError(
      `${text} has no table that the role ${context.role ?? 'of the user'} can see`,
      `Check the names of database and schema (SHOW SCHEMAS IN DATABASE ${quoted(database)}), and the rights. ${grantsText(context)}`,
    )
  }
  const notices: string[] = []
  const relations = [...byTable].map(([name, columns]): Relation => {
    assertNoTwins(name, columns)
    return {
      name,
      columns: columns.flatMap((column) => {
        const read = snowflakeColumn(column.name, column.type, column.scale)
        if (read === null)
          notices.push(`${name}: the column ${column.name} is of the type ${column.type} and is left out`)
        return read ?? []
      }),
    }
  })
  return { relations, notices }
}
