import type { DifferingPeople, FoundPeople, IdsOfEvent, TimeRange, UniquePeople } from '@heapferry/domain'
import type { ComparedDay } from './compare-days.ts'
import {
  type ComparedPeople,
  comparePeopleCounts,
  compareSample,
  differenceOf,
  nameDifferingPeople,
} from './compare-unique-people.ts'
import { monthsOf } from './day-ranges.ts'
import type { RereadExport } from './reread-export.ts'

export interface PeopleQueries {
  countPeople(ranges: readonly TimeRange[]): Promise<readonly FoundPeople[]>
  idsOfEvent(of: { event: string; range: TimeRange; after: string }): Promise<IdsOfEvent | null>
  countEventsOfPeople(of: {
    personIds: readonly string[]
    ranges: readonly TimeRange[]
  }): Promise<ReadonlyMap<string, number>>
  /** PostHog's, by distinct_id. */
  personIds(distinctIds: readonly string[]): Promise<ReadonlyMap<string, string>>
}

/** What a look has found of people. */
export interface LookAtPeople {
  counts: readonly ComparedPeople[]
  /** The largest differences first. */
  differing: readonly { count: ComparedPeople; people: readonly DifferingPeople[] }[]
  sample: UniquePeople['sample']
}

/**
 * Compares the people whom PostHog counts under each event and month with those of the export, after all merges that were
 * sent. The first look asks for every month, each further one for those that differed.
 */
export class PeopleVerification {
  readonly #reread: RereadExport
  readonly #queries: PeopleQueries
  #found: readonly FoundPeople[] | null = null
  /** Ranges that have to be asked for again. */
  #open: ReadonlySet<TimeRange> = new Set()
  #sample: LookAtPeople['sample'] = null

  constructor(reread: RereadExport, queries: PeopleQueries) {
    this.#reread = reread
    this.#queries = queries
  }

  /** @returns null where the export cannot be read */
  async look(days: readonly ComparedDay[], rangesOfEvents: readonly TimeRange[]): Promise<LookAtPeople | null> {
    const found = await this.#ask(days)
    const counted = await this.#reread.people(found.map(({ range }) => range))
    if (counted === null) return null
    const counts = comparePeopleCounts(days, found, counted)
    this.#open = new Set(counts.filter((one) => one.isLeftOut || differenceOf(one) !== 0).map(({ range }) => range))
    const differing = counts
      .filter((one) => differenceOf(one) !== 0)
      .toSorted((a, b) => Math.abs(differenceOf(b)) - Math.abs(differenceOf(a)))
    const named = await nameDifferingPeople(differing, { ...counted, idsOfEvent: this.#queries.idsOfEvent })
    const canTell = counts.every(({ isLeftOut, unsure }) => !isLeftOut && unsure.more + unsure.fewer === 0)
    if (!canTell) this.#sample = null
    else if (this.#sample === null || this.#sample.differing.length > 0)
      this.#sample = await compareSample(counted.sample, {
        personIds: this.#queries.personIds,
        countEventsOfPeople: (personIds) => this.#queries.countEventsOfPeople({ personIds, ranges: rangesOfEvents }),
      })
    return {
      counts,
      differing: differing.map((count, nth) => ({ count, people: named[nth] ?? [] })),
      sample: this.#sample,
    }
  }

  async #ask(days: readonly ComparedDay[]): Promise<readonly FoundPeople[]> {
    const before = this.#found
    const asked = before
      ? before.filter(({ range }) => this.#open.has(range)).map(({ range }) => range)
      : monthsOf(days.map(({ day }) => day))
    const settled = before?.filter(({ range }) => !this.#open.has(range)) ?? []
    const answered = asked.length === 0 ? [] : await this.#queries.countPeople(asked)
    const found = [...settled, ...answered].toSorted((a, b) => a.range.fromMs - b.range.fromMs)
    this.#found = found
    return found
  }
}
