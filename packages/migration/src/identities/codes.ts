/**
 * What a number says, wherever people are resolved: the place of an id, or one of these below zero. The file of resolved
 * identities has them too, so they can only change with its version.
 *
 * |               | of an owner                                      | of a parent                              |
 * |---------------|--------------------------------------------------|------------------------------------------|
 * | 0 and above   | the id at this place is the distinct_id          | a migration joins the id to this place   |
 * | -1            | `none` is known; only while people are resolved  | `root`: all else is joined to the id     |
 * | -2            | `several`: of its own rows, or one of no use     | the id is in conflict 0                  |
 * | -3            | identity 0                                       | the id is in conflict 1                  |
 * | -3 - N        | identity N                                       | the id is in conflict N + 1              |
 *
 * Everywhere else -1 is a number that is not there: `none`.
 */
export const none = -1
export const several = -2
export const root = -1

/** Turns the number of an identity into its code, and back. */
export function identityCode(numberOrCode: number): number {
  return -3 - numberOrCode
}

export function isIdentity(owner: number): boolean {
  return owner < several
}

/** Turns the number of a conflict into its code, and back. */
export function conflictCode(numberOrCode: number): number {
  return -2 - numberOrCode
}

export function isConflict(parent: number): boolean {
  return parent < root
}

/** What is known of two owners together. */
export function together(known: number, code: number): number {
  if (known === none || known === code) return code
  return code === none ? known : several
}
