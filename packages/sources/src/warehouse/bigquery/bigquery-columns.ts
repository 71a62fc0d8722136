import { timestampText } from '../../formats/cell-text.ts'
import { columnAs } from '../column-as.ts'
import type { Relation, WarehouseColumn } from '../warehouse.ts'
import { NotOfKind } from '../write-avro.ts'

/**
 * How a column is read, so that its text is that of every other way: null for what no event can carry.
 *
 * What text, Avro and Parquet write differently is cast in SQL. Nothing of a NULL stays nothing: TO_JSON_STRING would make
 * the text `null` of it.
 * @param type as BigQuery's REST API calls it; `ARRAY` where the column is repeated
 */
export function bigqueryColumn(name: string, type: string): WarehouseColumn | null {
  const column = quoted(name)
  const as = columnAs(name, type)
  switch (type) {
    case 'INTEGER':
    case 'INT64':
      return as(column, 'long')
    case 'BOOLEAN':
    case 'BOOL':
      return as(column, 'boolean')
    case 'FLOAT':
    case 'FLOAT64':
      return as(column, 'double')
    case 'STRING':
    case 'DATE':
    case 'DATETIME':
    case 'TIMESTAMP':
      return as(column)
    case 'ARRAY':
    case 'RECORD':
    case 'STRUCT':
    case 'JSON':
      return as(`IF(${column} IS NULL, NULL, TO_JSON_STRING(${column}))`)
    case 'BYTES':
      return as(`TO_HEX(${column})`)
    case 'GEOGRAPHY':
      return null
    // Numbers of a fixed number of digits, times of a day, and whatever else has a text.
    default:
      return as(`CAST(${column} AS STRING)`)
  }
}

/**
 * All rows of a table as they are unloaded, whichever way: the one SELECT, without an end.
 * @param from the table in SQL
 */
export function bigquerySelect(
  { columns }: Relation,
  from: string,
  sqlOf: (column: WarehouseColumn) => string = ({ sql }) => sql,
): string {
  const listed = columns.map((column) => `${sqlOf(column)} AS ${quoted(column.name)}`).join(', ')
  return `SELECT ${listed} FROM ${from}`
}

/** A column in Parquet: a time of no zone is one of UTC, as everywhere else, whatever Parquet would make of it. */
export function exportedSql({ type, sql }: WarehouseColumn): string {
  return type === 'DATETIME' ? `CAST(${sql} AS TIMESTAMP)` : sql
}

/** Whether rows that were listed, and not queried, have the text of this column. */
export function isListed({ type }: WarehouseColumn): boolean {
  return !['ARRAY', 'RECORD', 'STRUCT', 'BYTES'].includes(type)
}

/**
 * What the REST API writes of a column, as every way of reading does.
 * @param value times in microseconds since 1970
 * @throws NotOfKind where the column is not what it was
 */
export function bigqueryText({ type }: WarehouseColumn, value: string | null): string | null {
  if (value === null) return null
  switch (type) {
    case 'TIMESTAMP':
      if (!/^-?\d+$/.test(value)) throw new NotOfKind(`${JSON.stringify(value.slice(0, 40))} is no time`)
      return timestampText(BigInt(value), 'micros')
    case 'DATETIME':
      return value
        .replace('T', ' ')
        .replace(/(\.\d*?)0+$/, '$1')
        .replace(/\.$/, '')
    case 'FLOAT':
    case 'FLOAT64':
      return /^nan$/i.test(value) ? 'NaN' : value.replace(/^([+-]?)inf(?:inity)?$/i, '$1Infinity')
    default:
      return value
  }
}

/** A name in SQL. */
export function quoted(name: string): string {
  return `\`${name.replaceAll(/[\\`]/g, String.raw`\$&`)}\``
}

/** A text in SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`
}
