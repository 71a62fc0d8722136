import type { PersonHash } from './sent-people.ts'

export interface SampledPerson {
  person: PersonHash
  /** Under which the person's events are counted. */
  group: number
  /** The first of their ids, and whether each is a user id: others may be addresses, which nobody is to be shown. */
  ids: Map<string, boolean>
}

const idsPerPerson = 20

/** Some people, the same whatever order they come in: those whose hashes are the smallest. */
export class PeopleSample {
  readonly #size: number
  /** Ascending. */
  #people: SampledPerson[] = []

  constructor(size: number) {
    this.#size = size
  }

  get people(): readonly SampledPerson[] {
    return this.#people
  }

  /** Undefined for somebody who is none of them. All their events are seen: whoever was passed over once is so always. */
  find(person: PersonHash, newGroup: () => number): SampledPerson | undefined {
    const last = this.#people.at(-1)
    if (this.#size === 0) return undefined
    if (this.#people.length === this.#size && last && isBefore(last.person, person)) return undefined
    const place = this.#people.findIndex((one) => !isBefore(one.person, person))
    const known = this.#people[place]
    if (known && !isBefore(person, known.person)) return known
    const added = { person, group: newGroup(), ids: new Map<string, boolean>() }
    this.#people.splice(place === -1 ? this.#people.length : place, 0, added)
    this.#people.length = Math.min(this.#people.length, this.#size)
    return added
  }
}

export function noteId({ ids }: SampledPerson, id: string, isUserId: boolean): void {
  if (ids.size < idsPerPerson || ids.has(id)) ids.set(id, isUserId)
}

function isBefore(a: PersonHash, b: PersonHash): boolean {
  return a.high === b.high ? a.low >>> 0 < b.low >>> 0 : a.high < b.high
}
