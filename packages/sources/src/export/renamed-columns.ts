import { type Mapping, OperatorError } from '@heapferry/domain'
import { shortened } from '../formats/shortened.ts'

/** The names that the mapping gives to columns of a table, by those of the files in lower case. */
export function renamesOf({ columns: ofAll, tables }: Mapping, table: string): ReadonlyMap<string, string> {
  const own = tables[table]?.columns
  const all = [...Object.entries(ofAll), ...(own === undefined || Array.isArray(own) ? [] : Object.entries(own))]
  return new Map(all.map(([column, name]) => [column.toLowerCase(), name]))
}

/**
 * The columns of a file under the names that the mapping gives them.
 * @param areOrdered whether each row has the columns in this order; JSON has keys instead
 * @throws OperatorError when that cannot be, or two columns would have one name
 */
export function renamedColumns(
  columns: readonly string[],
  mapping: Mapping,
  { path, table, areOrdered }: { path: string; table: string; areOrdered: boolean },
): readonly string[] {
  const renames = renamesOf(mapping, table)
  const list = mapping.tables[table]?.columns
  const named =
    Array.isArray(list) && !list.every((name) => columns.includes(name.toLowerCase()))
      ? inOrder(columns, list, { path, table, areOrdered })
      : columns.map((column) => renames.get(column) ?? column)
  const twice = named.find((name, index) => named.indexOf(name) !== index)
  if (twice === undefined || !named.some((name, index) => name !== columns[index])) return named
  throw new OperatorError(
    `${path}: by the mapping two of its columns are called ${twice}: ${columns.filter((_, index) => named[index] === twice).join(', ')}`,
    `Give one of them another name under columns of the mapping file.`,
  )
}

function inOrder(
  columns: readonly string[],
  list: readonly string[],
  { path, table, areOrdered }: { path: string; table: string; areOrdered: boolean },
): string[] {
  if (!areOrdered) {
    throw new OperatorError(
      `${path}: the mapping lists the columns of ${table} in order, and rows of JSON have none`,
      `Name them instead: tables: { ${table}: { columns: { ${JSON.stringify(columns[0] ?? 'KEY')}: ${list[0] ?? 'user_id'}, … } } }.`,
    )
  }
  if (columns.length !== list.length) {
    throw new OperatorError(
      `${path} has ${columns.length} columns (${shortened(columns, 5)}), and the mapping lists ${list.length} for ${table}`,
      'List all of them, in the order of the file, or name those that are called otherwise: columns: { NAME IN THE FILE: NAME OF HEAP }.',
    )
  }
  return list.map((name) => name.toLowerCase())
}
