import type { DifferingPeople, FoundPeople, IdsOfEvent, TimeRange, UniquePeople } from '@heapferry/domain'
import type { ComparedDay } from './compare-days.ts'
import type { CountedPeople } from './count-people.ts'
import { DayMap, dayText } from './day-map.ts'
import { daysOf } from './day-ranges.ts'
import type { SentPeople } from './sent-people.ts'

/** The different people under an event, in a range of days: in a month, nearly always. */
export interface ComparedPeople {
  event: string
  range: TimeRange
  expected: number
  found: number
  /** Events of it are missing, or there are others: whose they are is another question. */
  isLeftOut: boolean
  /** How many more or fewer there may be: rows that retries have sent, perhaps as something else than the export has. */
  unsure: { more: number; fewer: number }
}

const dayMs = 86_400_000

/** In the order of the ranges, and of names within each. */
export function comparePeopleCounts(
  days: readonly ComparedDay[],
  found: readonly FoundPeople[],
  { counts, unsureMerges }: CountedPeople,
): ComparedPeople[] {
  const firstDayOf = new Map(
    found.flatMap(({ range }) => daysOf(range).map((day) => [day, range.fromMs / dayMs] as const)),
  )
  const ofDays = new DayMap<{ sent: number; differs: boolean }>()
  for (const { event, day, sent, expected, found: there } of days) {
    const first = firstDayOf.get(day)
    if (first === undefined) continue
    const known = ofDays.get(event, first) ?? { sent: 0, differs: false }
    ofDays.set(event, first, { sent: known.sent + sent, differs: known.differs || expected !== there })
  }
  return found.flatMap(({ range, people }) => {
    const events = ofDays.of(range.fromMs / dayMs)
    const ofExport = counts.get(range)
    return [...new Set([...events.keys(), ...people.keys()])].toSorted().map((event): ComparedPeople => {
      const { sent, differs } = events.get(event) ?? { sent: 0, differs: true }
      const { rows, people: expected } = ofExport?.get(event) ?? { rows: 0, people: 0 }
      const unsure = { more: Math.max(0, sent - rows), fewer: unsureMerges }
      return { event, range, expected, found: people.get(event) ?? 0, isLeftOut: differs, unsure }
    })
  })
}

/** How many more people PostHog counts than can be explained; negative where it counts fewer. */
export function differenceOf({ expected, found, isLeftOut, unsure }: ComparedPeople): number {
  if (isLeftOut) return 0
  return Math.max(0, found - expected - unsure.more) - Math.max(0, expected - unsure.fewer - found)
}

type NamedPeople = DifferingPeople[]

export interface NamingWork {
  people: SentPeople
  /** Events whose ids may be identities. */
  ofPeople: ReadonlySet<string>
  idsOfEvent(of: { event: string; range: TimeRange; after: string }): Promise<IdsOfEvent | null>
}

const namedPeople = 3
// Of 20,000 ids each: what memory has room for, and PostHog answers in a minute or two.
const pagesPerCount = 10
const pagesInAll = 60

/** Names people by whom counts differ, the first counts first, for as long as it does not ask too much of PostHog. */
export async function nameDifferingPeople(
  differing: readonly ComparedPeople[],
  work: NamingWork,
): Promise<NamedPeople[]> {
  const named: NamedPeople[] = []
  let pages = pagesInAll
  for (const { event, range } of differing) {
    const search = new DifferingSearch(work.people, !work.ofPeople.has(event))
    let after: string | null = ''
    for (let page = 0; after !== null && page < pagesPerCount && pages > 0 && !search.isDone; page++, pages--) {
      const answer: IdsOfEvent | null = await work.idsOfEvent({ event, range, after })
      for (const { distinctId, personId } of answer?.ids ?? []) search.add(distinctId, personId)
      after = answer?.after ?? null
    }
    named.push(search.found)
  }
  return named
}

/** Finds ids that PostHog has otherwise together, or apart, than the export. */
class DifferingSearch {
  readonly #named = new Map<string, NamedPeople[number]>()
  readonly #people: SentPeople
  readonly #showsIds: boolean
  readonly #byPerson = new Map<string, { distinctId: string; personId: string }>()
  readonly #byPersonId = new Map<string, { distinctId: string; person: string }>()

  constructor(people: SentPeople, showsIds: boolean) {
    this.#people = people
    this.#showsIds = showsIds
  }

  get found(): NamedPeople {
    return [...this.#named.values()]
  }

  get isDone(): boolean {
    return this.#named.size === namedPeople
  }

  add(distinctId: string, personId: string): void {
    if (this.isDone) return
    const { low, high } = this.#people.personOf(distinctId)
    const person = `${low} ${high}`
    const same = this.#byPerson.get(person)
    const there = this.#byPersonId.get(personId)
    if (same && same.personId !== personId) {
      const apart = this.#noted(`apart ${person}`, { distinctId: same.distinctId, personId: same.personId })
      apart.persons.push(personId)
      this.#show(apart, distinctId)
    } else if (there && there.person !== person) {
      const together = this.#noted(`together ${personId}`, { distinctId: there.distinctId, personId })
      together.expected++
      this.#show(together, distinctId)
    }
    if (!same) this.#byPerson.set(person, { distinctId, personId })
    if (!there) this.#byPersonId.set(personId, { distinctId, person })
  }

  #noted(key: string, { distinctId, personId }: { distinctId: string; personId: string }): NamedPeople[number] {
    const known = this.#named.get(key)
    if (known) return known
    const named = { ids: [], expected: 1, persons: [personId] }
    this.#named.set(key, named)
    this.#show(named, distinctId)
    return named
  }

  #show({ ids }: NamedPeople[number], distinctId: string): void {
    if (this.#showsIds && ids.length < namedIds && !ids.includes(distinctId)) ids.push(distinctId)
  }
}

const namedIds = 10

export interface SampleWork {
  personIds(distinctIds: readonly string[]): Promise<ReadonlyMap<string, string>>
  countEventsOfPeople(personIds: readonly string[]): Promise<ReadonlyMap<string, number>>
}

/** Compares how many events each of some people has. */
export async function compareSample(
  sample: CountedPeople['sample'],
  work: SampleWork,
): Promise<NonNullable<UniquePeople['sample']>> {
  const personIds = await work.personIds([...new Set(sample.flatMap(({ ids }) => [...ids.keys()]))])
  const known = [...new Set(personIds.values())]
  const counts = known.length === 0 ? new Map<string, number>() : await work.countEventsOfPeople(known)
  const differing = sample.flatMap(({ ids, events }) => {
    const persons = [...new Set([...ids.keys()].flatMap((id) => personIds.get(id) ?? []))]
    const found = Math.max(0, ...persons.map((person) => counts.get(person) ?? 0))
    if (found === events) return []
    const userIds = [...ids].flatMap(([id, isUserId]) => (isUserId ? [id] : []))
    return [{ ids: userIds, expected: 1, persons, expected_events: events, found_events: found }]
  })
  return { people: sample.length, differing }
}

/** The days of a range, and of what is counted in it. */
export function listedPeople({ event, range, expected, found }: ComparedPeople) {
  const [from, to] = [dayText(range.fromMs / dayMs), dayText(range.toMs / dayMs - 1)]
  return { event, from, to, expected, found }
}
