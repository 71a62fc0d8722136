import { OperatorError } from '@heapferry/domain'

/** @throws OperatorError when two columns become one, since names are told apart by neither upper nor lower case afterwards */
export function assertNoTwins(table: string, columns: readonly { name: string }[]): void {
  const seen = new Set<string>()
  for (const { name } of columns) {
    if (!seen.has(name.toLowerCase())) {
      seen.add(name.toLowerCase())
      continue
    }
    throw new OperatorError(
      `${table} has two columns ${name.toLowerCase()}, which differ in upper and lower case alone`,
      'Make a view of the table that calls them otherwise, in a schema of its own, and give that schema.',
    )
  }
}
