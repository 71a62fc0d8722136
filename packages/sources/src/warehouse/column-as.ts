import type { WarehouseColumn } from './warehouse.ts'

/** Makes the column of a name and a type, once it is known how its text is read. */
export function columnAs(name: string, type: string) {
  return (sql: string, kind: WarehouseColumn['kind'] = 'string'): WarehouseColumn => ({
    name: name.toLowerCase(),
    type,
    sql,
    kind,
  })
}
