import { counted } from '../wording.ts'

/** Rows of people with an identity whose dates cannot be read, by the column of the first that is there. */
export type UndatedPeople = Map<string, { rows: number; example: string }>

export function addUndated(
  undated: UndatedPeople,
  { column, text }: { column: string; text: string },
  hidden: ReadonlyMap<string, string>,
): void {
  const known = undated.get(column)
  if (known) known.rows++
  else undated.set(column, { rows: 1, example: hidden.get(column) ?? text.slice(0, shownChars) })
}

const shownChars = 40

export function undatedNotices(undated: UndatedPeople): string[] {
  return [...undated].map(
    ([column, { rows, example }]) =>
      `users has ${counted(rows, 'row')} with an identity and no date that can be read: ${column} is like "${example}", of which nobody can tell for certain what it means. 2010-01-01 stands in for it; write ${column} as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS (UTC) to have it right`,
  )
}
