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
  return [
    ...sameNames(properties, () => true).map(({ column, message }) => ({ path: ['properties', column], message })),
    ...Object.entries(tables).flatMap(([table, { properties: own }]) =>
      sameNames({ ...properties, ...own }, (column) => column in own).map(({ column, message }) => ({
        path: ['tables', table, 'properties', column],
        message,
      })),
    ),
  ]
}

/** @param isSaidHere which columns' rules are to blame; those of others are told of elsewhere */
function sameNames(rules: Readonly<Record<string, unknown>>, isSaidHere: (column: string) => boolean) {
  const columnsOf = new Map<string, string[]>()
  for (const [column, rule] of Object.entries(rules)) {
    const { data } = NamingRule.safeParse(rule)
    if (data) columnsOf.set(data.name, [...(columnsOf.get(data.name) ?? []), column])
  }
  return [...columnsOf].flatMap(([name, columns]) => {
    const column = columns.findLast(isSaidHere)
    if (column === undefined || columns.length < 2) return []
    const others = columns.filter((one) => one !== column).join(', ')
    return [{ column, message: `${name} is given to ${others} too: of a row that has both, one would be lost` }]
  })
}
