import { dateText, timestampText, timeText } from '../../formats/cell-text.ts'
import { columnAs } from '../column-as.ts'
import type { Relation, WarehouseColumn } from '../warehouse.ts'
import { quoted } from './snowflake-address.ts'

/**
 * How a column is read, so that its text is that of every other way: null for what no event can carry.
 *
 * A NUMBER is text, as in the CSV and the Parquet (decimals) that Snowflake writes: it has up to 38 digits, and no type of
 * Avro or JSON keeps them all. A zone is taken off in SQL, since Parquet is refused with one.
 * @param scale how many digits a NUMBER has behind the point
 */
export function snowflakeColumn(name: string, type: string, scale: string | null): WarehouseColumn | null {
  const column = quoted(name)
  const as = columnAs(name, type)
  switch (type) {
    case 'NUMBER':
      return scale === '0' ? as(column) : as(`TO_VARCHAR(${column})`)
    case 'BOOLEAN':
      return as(column, 'boolean')
    case 'FLOAT':
      return as(column, 'double')
    case 'TEXT':
    case 'DATE':
    case 'TIME':
    case 'TIMESTAMP_NTZ':
      return as(column)
    case 'TIMESTAMP_TZ':
    case 'TIMESTAMP_LTZ':
      return as(`CONVERT_TIMEZONE('UTC', ${column})::TIMESTAMP_NTZ`)
    case 'VARIANT':
    case 'OBJECT':
    case 'ARRAY':
    case 'MAP':
      return as(`TO_JSON(${column})`)
    case 'BINARY':
      return as(`HEX_ENCODE(${column})`)
    case 'GEOGRAPHY':
    case 'GEOMETRY':
    case 'VECTOR':
    case 'FILE':
      return null
    default:
      return as(`TO_VARCHAR(${column})`)
  }
}

/** What stands behind SELECT, for whoever reads a table: each column as it is read, under the name that it has in files. */
export function selectListOf(
  { columns }: Relation,
  sqlOf: (column: WarehouseColumn) => string = ({ sql }) => sql,
): string {
  return columns.map((column) => `${sqlOf(column)} AS ${quoted(column.name)}`).join(', ')
}

/**
 * A column in Parquet, as the text that `cellText` makes: Snowflake writes times there in milliseconds, and a NUMBER as one
 * of several types, as small as its values allow.
 * https://docs.snowflake.com/en/user-guide/data-unload-considerations
 */
export function copiedSql({ type, sql }: WarehouseColumn): string {
  switch (type) {
    case 'NUMBER':
      return sql.startsWith('"') ? `TO_VARCHAR(${sql})` : sql
    case 'TIMESTAMP_NTZ':
    case 'TIMESTAMP_TZ':
    case 'TIMESTAMP_LTZ':
      return withoutLastZeros(`TO_VARCHAR(${sql}, 'YYYY-MM-DD HH24:MI:SS.FF9')`)
    case 'TIME':
      return withoutLastZeros(`TO_VARCHAR(${sql}, 'HH24:MI:SS.FF9')`)
    default:
      return sql
  }
}

function withoutLastZeros(sql: string): string {
  return `REGEXP_REPLACE(${sql}, '[.]?0+$', '')`
}

/** What the result of a statement says that a column is, for what it was when the table was planned. */
export function isOfType({ type, sql }: WarehouseColumn, said: string): boolean {
  if (type.startsWith('TIMESTAMP')) return said === 'timestamp_ntz'
  if (type === 'NUMBER') return said === (sql.startsWith('"') ? 'fixed' : 'text')
  return said === (saidOf[type] ?? 'text')
}

const saidOf: Readonly<Record<string, string>> = { BOOLEAN: 'boolean', FLOAT: 'real', DATE: 'date', TIME: 'time' }

/**
 * The text that every way of reading gives, of what the SQL API says. It knows seconds and days since 1970 alone, and
 * floating-point numbers that are none by names of its own.
 * https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses#getting-the-data-from-the-results
 */
export function cellText({ type }: WarehouseColumn, said: string): string {
  switch (type) {
    case 'TIMESTAMP_NTZ':
    case 'TIMESTAMP_TZ':
    case 'TIMESTAMP_LTZ':
      return timestampText(nanosOf(said), 'nanos')
    case 'TIME':
      return timeText(nanosOf(said), 'nanos')
    case 'DATE':
      return dateText(Number(said))
    case 'FLOAT':
      return floats.get(said.toLowerCase()) ?? said
    default:
      return said
  }
}

const floats: ReadonlyMap<string, string> = new Map([
  ['inf', 'Infinity'],
  ['-inf', '-Infinity'],
  ['nan', 'NaN'],
])

/** Of `-1.500000000`, exact: no number of JavaScript holds nanoseconds of this century. */
function nanosOf(seconds: string): bigint {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d{1,9}))?$/.exec(seconds) ?? []
  if (whole === undefined) throw new NotATime(`${JSON.stringify(seconds.slice(0, 40))} is no number of seconds`)
  const nanos = BigInt(whole + fraction.padEnd(9, '0'))
  return sign === '-' ? -nanos : nanos
}

/** A cell of a column of times holds none. */
export class NotATime extends Error {
  override name = 'NotATime'
}
