import { type Mapping, nearestName, type Table } from '@heapferry/domain'

/** A table of an export with the columns that it was found to have. */
export interface FoundTable {
  table: Table
  columns: readonly string[]
}

/**
 * What a mapping says of columns and tables that the export does not have: often a name is misspelt.
 * @param which what to call the mapping
 */
export function mappingNotices(
  mapping: Mapping,
  found: readonly FoundTable[],
  which: 'The mapping' | 'The other mapping' = 'The mapping',
): string[] {
  const ofExport = new Set(found.flatMap(({ columns }) => columns))
  // What is said of a table may be said of a type of events, which only rows tell.
  const typed = found.filter(({ table }) => table.kind === 'raw_events')
  const names = new Set(found.map(({ table }) => table.name))
  const { properties, filter, groups, tables } = mapping
  const absences = [
    ...missing('properties', properties, ofExport, 'no table has such a column'),
    ...missing('filter.where', filter.where ?? {}, ofExport, 'no table has such a column'),
    ...Object.entries(groups).flatMap(([group, { key, properties: ofGroup }]) => {
      const ofPeople = new Set(found.filter(({ table }) => table.kind === 'users').flatMap(({ columns }) => columns))
      return [
        ...missing(`groups.${group}.key`, { [key]: group }, ofExport, 'no table has such a column'),
        ...missing(
          `groups.${group}.properties`,
          Object.fromEntries(ofGroup.map((column) => [column, group])),
          ofPeople,
          'users has no such column',
        ),
      ]
    }),
    ...Object.entries(tables).flatMap(([name, ofTable]) => {
      const own = found.filter(({ table }) => table.name === name)
      if (own.length === 0 && typed.length === 0)
        return [absent(`tables.${name}`, 'the export has no such table', name, names)]
      const columns = new Set([...own, ...(own.length === 0 ? typed : [])].flatMap((one) => one.columns))
      const fact = `${name} has no such column`
      return [
        ...missing(`tables.${name}.properties`, ofTable.properties ?? {}, columns, fact),
        ...missing(`tables.${name}.where`, ofTable.where ?? {}, columns, fact),
      ]
    }),
  ]
  return absences.map((text) => `${which} has ${text}`)
}

function missing(key: string, said: object, columns: ReadonlySet<string>, fact: string): string[] {
  return Object.keys(said)
    .filter((column) => !columns.has(column))
    .map((column) => absent(`${key}.${column}`, fact, column, columns))
}

function absent(key: string, fact: string, name: string, names: Iterable<string>): string {
  const nearest = nearestName(name, names)
  return `${key}, but ${fact}${nearest === undefined ? '' : `; did you mean ${nearest}?`}`
}
