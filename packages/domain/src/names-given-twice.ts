import { z } from 'zod'

/** What may be anything, seen as far as it is what it should be. */
const Rules = z.record(z.string(), z.unknown()).catch({})
const Names = z
  .object({
    properties: Rules,
    tables: z.record(z.string(), z.object({ properties: Rules }).catch({ properties: {} })).catch({}),
  })
  .catch({ properties: {}, tables: {} })
const NamingRule = z.object({ name: z.string() })

/** Where a mapping file gives columns of one table one name: of a row that has both, one would be lost. */
export function namesGivenTwice(mapping: unknown): { path: string[]; message: string }[] {
  const { properties, tables } = Names.parse(mapping)
  const ofAll = namesOf(properties)
  return [
    ...sameNames(ofAll, () => true).map(({ column, message }) => ({ path: ['properties', column], message })),
    ...Object.entries(tables).flatMap(([table, { properties: own }]) => {
      const isSaidHere = (column: string): boolean => Object.hasOwn(own, column)
      const names = namesOf(own)
      if (names.length === 0) return []
      const inherited = ofAll.filter(({ column }) => !isSaidHere(column))
      return sameNames([...inherited, ...names], isSaidHere).map(({ column, message }) => ({
        path: ['tables', table, 'properties', column],
        message,
      }))
    }),
  ]
}

interface Named {
  column: string
  name: string
}

function namesOf(rules: Readonly<Record<string, unknown>>): Named[] {
  return Object.entries(rules).flatMap(([column, rule]) => {
    const { data } = NamingRule.safeParse(rule)
    return data ? [{ column, name: data.name }] : []
  })
}

/** @param isSaidHere which columns' rules are to blame; those of others are told of elsewhere */
function sameNames(named: readonly Named[], isSaidHere: (column: string) => boolean) {
  const columnsOf = new Map<string, string[]>()
  for (const { column, name } of named) columnsOf.set(name, [...(columnsOf.get(name) ?? []), column])
  return [...columnsOf].flatMap(([name, columns]) => {
    const column = columns.findLast(isSaidHere)
    if (column === undefined || columns.length < 2) return []
    const others = columns.filter((one) => one !== column).join(', ')
    return [{ column, message: `${name} is given to ${others} too: of a row that has both, one would be lost` }]
  })
}
