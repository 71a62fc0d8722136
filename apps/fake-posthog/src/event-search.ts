import type { KnownQuery, OfRun } from './known-query.ts'
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
  #otherwise: (distinctId: string) => string | undefined = () => undefined

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

  regroup(personOf: (distinctId: string) => string | undefined): void {
    this.#otherwise = personOf
  }

  rowsOf(query: KnownQuery, options: SearchOptions): unknown[] | 'too_slow' {
    switch (query.kind) {
      case 'counts':
        return this.#answer(query, options, (found) => counts(found).slice(0, Math.min(query.limit, maxRows)))
      case 'people':
        return this.#answer(query, options, (found) => {
          const people = grouped(found, ({ stored }) => stored.event)
          return inOrder([...people].map(([event, some]) => [event, new Set(some.map((one) => one.personId)).size]))
        })
      case 'ids':
        return this.#answer(query, options, (found) => {
          const { event, after } = query
          const some = found.filter(({ stored }) => stored.event === event && byBytes(stored.distinct_id, after) > 0)
          const ids = new Map(some.map(({ stored, personId }) => [stored.distinct_id, personId]))
          return inOrder([...ids]).slice(0, query.limit)
        })
      case 'events_of_people':
        return this.#answer(query, options, (found) => {
          const people = grouped(found, ({ personId }) => personId)
          return [...people].flatMap(([id, some]) => (query.personIds.includes(id) ? [[id, some.length]] : []))
        })
      case 'persons':
        return query.ids.flatMap((id) => {
          const person = this.#persons.personOf(id)
          return person ? [[id, this.#otherwise(id) ?? this.#idOf(person)]] : []
        })
    }
  }

  #answer(
    { fromMs, toMs, run }: OfRun,
    { lagMs = 0, unmerged = false, maxEvents = Number.POSITIVE_INFINITY }: SearchOptions,
    rowsOf: (found: readonly Found[]) => unknown[][],
  ): unknown[][] | 'too_slow' {
    const foundAtMs = Date.now() - lagMs
    const found: Found[] = []
    let read = 0
    let nth = 0
    for (const [key, stored] of this.#stored) {
      const isFound = (this.#arrivedAtMs[nth++] ?? 0) <= foundAtMs && !this.#isLost(stored)
      const atMs = Date.parse(stored.timestamp)
      if (!isFound || atMs < fromMs || atMs >= toMs) continue
      read++
      if (stored.properties?.['$import_job_id'] !== run) continue
      found.push({ key, stored, atMs, copies: unmerged ? stored.times : 1, personId: this.#personIdOf(stored) })
    }
    return read > maxEvents ? 'too_slow' : rowsOf(found)
  }

  #personIdOf({ distinct_id }: StoredEvent): string {
    const person = this.#persons.personOf(distinct_id)
    // Whom PostHog keeps no profile of has an id that is made of their distinct_id.
    return this.#otherwise(distinct_id) ?? (person ? this.#idOf(person) : `personless ${distinct_id}`)
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

interface Found {
  key: string
  stored: StoredEvent
  atMs: number
  copies: number
  personId: string
}

function counts(found: readonly Found[]): unknown[][] {
  const groups = grouped(
    found,
    ({ atMs, stored }) => `${String(Math.floor(atMs / dayMs)).padStart(8, '0')} ${stored.event}`,
  )
  return inOrder(
    [...groups].map(([name, some]) => {
      // A second row under a known uuid has a number behind it.
      const uuids = new Set(some.map(({ key }) => key.slice(0, 36)))
      const copies = some.reduce((sum, one) => sum + one.copies, 0)
      return [name, copies, some.length, uuids.size]
    }),
  ).map(([name, ...numbers]) => [Number(name.slice(0, 8)), name.slice(9), ...numbers])
}

const dayMs = 86_400_000

function grouped(found: readonly Found[], nameOf: (one: Found) => string): Map<string, Found[]> {
  const groups = new Map<string, Found[]>()
  for (const one of found) {
    const name = nameOf(one)
    const group = groups.get(name)
    if (group) group.push(one)
    else groups.set(name, [one])
  }
  return groups
}

/** As ClickHouse puts texts in order: by their bytes. */
function inOrder<T extends [string, ...unknown[]]>(rows: readonly T[]): T[] {
  return rows.toSorted(([a], [b]) => byBytes(a, b))
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
