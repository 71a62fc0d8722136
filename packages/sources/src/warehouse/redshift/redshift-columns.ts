import { columnAs } from '../column-as.ts'
import type { WarehouseColumn } from '../warehouse.ts'
import { quoted } from './redshift-fault.ts'

/**
 * How a column is read, so that its text is that of every other way: null for what no event can carry.
 *
 * What may come out otherwise in text and in Parquet is cast in SQL: a zone, digits behind a point, blanks that pad a CHAR.
 * A REAL is read as the double that it is exactly, since 0.1 and 0.10000000149011612 are the same one.
 */
export function redshiftColumn(name: string, type: string): WarehouseColumn | null {
  const column = quoted(name)
  const as = columnAs(name, type)
  switch (type) {
    case 'smallint':
    case 'integer':
    case 'bigint':
      return as(column, 'long')
    case 'boolean':
      return as(column, 'boolean')
    case 'double precision':
      return as(column, 'double')
    case 'real':
      return as(`${column}::double precision`, 'float')
    case 'character varying':
    case 'text':
    case 'date':
    case 'timestamp without time zone':
      return as(column)
    case 'timestamp with time zone':
      return as(`(${column} at time zone 'UTC')`)
    case 'character':
      return as(`rtrim(${column})`)
    case 'super':
      return as(`json_serialize(${column})`)
    case 'binary varying':
      return as(`to_hex(${column})`)
    case 'geometry':
    case 'geography':
    case 'hllsketch':
      return null
    // Numbers of a fixed number of digits, times of a day, and whatever else has a text.
    default:
      return as(`${column}::varchar`)
  }
}
