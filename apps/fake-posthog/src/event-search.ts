import type { KnownQuery } from './known-query.ts'
import type { Person, Persons } from './persons.ts'
import type { StoredEvent } from './store.ts'

/** How what is stored is found. */
export interface SearchOptions {
  /** Events are found so long after they arrived. */
  lagMs?: number
  /** Copies of an event are counted, as until PostHog has merged them. */
  unmerged?: boolean
  /** A query that would read more events is broken off, as one that takes more than ten seconds. */
  maxEvents?: number
}

export interface Searched {
  stored: ReadonlyMap<string, StoredEvent>
  persons: Pick<Persons, 'personOf'>
}

const maxRows = 50_000

/** Answers queries from what is stored, but for what was lost or is still on its way. */
export class EventSearch {
  readonly #stored: Searched['stored']
  readonly #persons: Searched['persons']
  readonly #arrivedAtMs: number[] = []
  readonly #idsOfPersons = new WeakMap<Person, string>()
  #knownPersons = 0
  #isLost: (event: StoredEvent) => boolean = () => false

  constructor({ stored, persons }: Searched) {
    this.#stored = stored
    this.#persons = persons
  }

  /** An event has arrived: the next of those that are stored. */
  noteArrival(): void {
    this.#arrivedAtMs.push(Date.now())
  }

  lose(which: (event: StoredEvent) => boolean): void {
    this.#isLost = which
  }

  rowsOf(query: KnownQuery, options: SearchOptions): unknown[] | 'too_slow' {
    switch (query.kind) {
      case 'counts': {
        const rows = this.#counts(query, options)
        return rows === 'too_slow' ? rows : rows.slice(0, Math.min(query.limit, maxRows))
      }
      case 'persons':
        return query.ids.flatMap((id) => {
          const person = this.#persons.personOf(id)
          return person ? [[id, this.#idOf(person)]] : []
        })
    }
  }

  #counts(
    { fromMs, toMs, run }: Extract<KnownQuery, { kind: 'counts' }>,
    { lagMs = 0, unmerged = false, maxEvents = Number.POSITIVE_INFINITY }: SearchOptions,
  ): unknown[][] | 'too_slow' {
    const foundAtMs = Date.now() - lagMs
    const groups = new Map<
      string,
      { day: number; event: string; stored: number; different: number; uuids: Set<string> }
    >()
    let read = 0
    let nth = 0
    for (const [key, stored] of this.#stored) {
      const isFound = (this.#arrivedAtMs[nth++] ?? 0) <= foundAtMs && !this.#isLost(stored)
      const atMs = Date.parse(stored.timestamp)
      if (!isFound || atMs < fromMs || atMs >= toMs) continue
      read++
      if (stored.properties?.['$import_job_id'] !== run) continue
      const day = Math.floor(atMs / 86_400_000)
      const name = `${String(day).padStart(8, '0')} ${stored.event}`
      const group = groups.get(name) ?? { day, event: stored.event, stored: 0, different: 0, uuids: new Set() }
      groups.set(name, group)
      group.stored += unmerged ? stored.times : 1
      group.different++
      // A second row under a known uuid has a number behind it.
      group.uuids.add(key.slice(0, 36))
    }
    if (read > maxEvents) return 'too_slow'
    return [...groups]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { day, event, stored, different, uuids }]) => [day, event, stored, different, uuids.size])
  }

  #idOf(person: Person): string {
    const known = this.#idsOfPersons.get(person)
    if (known !== undefined) return known
    this.#knownPersons++
    const id = `00000000-0000-4000-8000-${String(this.#knownPersons).padStart(12, '0')}`
    this.#idsOfPersons.set(person, id)
    return id
  }
}
