import { seededRandom } from './random.ts'
import { campaigns, type Campaign, type Device, devices, type Page, pages, places, screens } from './vocabulary.ts'

const dayMs = 86_400_000
/** Fixed, so that the same seed gives the same bytes in any year. */
export const lastMs = Date.UTC(2026, 0, 5)
export const firstMs = lastMs - 425 * dayMs

export interface SamplePerson {
  userId: string
  /** Ids the person had before Heap knew who it was; user_migrations leads from them to `userId`. */
  formerIds: readonly string[]
  /** null: anonymous, as three of four are. */
  identity: string | null
  device: Device
  place: readonly [country: string, region: string, city: string]
  ip: string
  joinedAtMs: number
}

/** People join one after the other over the whole time, so that nobody acts before having joined. */
export function personOf(seed: number, index: number, people: number): SamplePerson {
  const random = seededRandom(seed, `person ${index}`)
  const isIdentified = index % 4 === 1
  const userId = random.id()
  const formerIds = isIdentified ? Array.from({ length: random.below(4) }, () => random.id()) : []
  return {
    userId,
    formerIds,
    identity: isIdentified ? `person.${index}@example.com` : null,
    device: random.pickWeighted(devices),
    place: random.pickWeighted(places),
    ip: random.chance(0.05)
      ? `2001:db8::${random.below(65_536).toString(16)}`
      : `198.51.${random.below(256)}.${random.below(256)}`,
    joinedAtMs: firstMs + Math.floor(((lastMs - firstMs - dayMs) * index) / people),
  }
}

export interface PageVisit {
  atMs: number
  page: Page
  screen: string
  previous: string | null
  query: string | null
  hash: string | null
}

/** One session: what Heap repeats on each of its rows, and the pages in order. */
export interface Visit {
  person: SamplePerson
  /** The person's id, or one from before the person was known. */
  userId: string
  sessionId: string
  startMs: number
  campaign: Campaign
  landing: Page
  landingHash: string | null
  pages: readonly PageVisit[]
}

/**
 * The visit with this index, of `visits` that follow one another in time.
 * @param size.pageviews at least one page is visited even where this is 0: events happen somewhere
 */
export function visitOf(
  seed: number,
  index: number,
  size: { people: number; visits: number; pageviews: number },
): Visit {
  const random = seededRandom(seed, `visit ${index}`)
  const elapsed = (index + random.fraction()) / size.visits
  const joined = Math.max(1, Math.ceil(size.people * elapsed))
  const person = personOf(seed, random.below(Math.min(joined, size.people)), size.people)
  const startMs = Math.max(
    person.joinedAtMs,
    // A day is left for the visit itself.
    firstMs + Math.floor((lastMs - firstMs - dayMs) * elapsed),
  )
  const campaign = random.pickWeighted(campaigns)
  const landing = random.pickWeighted(pages)
  const landingHash = random.chance(0.05) ? '#top' : null

  const visited: PageVisit[] = []
  let atMs = startMs
  for (let number = 0; number < Math.max(1, size.pageviews); number++) {
    const isFirst = number === 0
    const page = isFirst ? landing : random.pickWeighted(pages)
    const ownQuery = random.chance(0.15) ? `?tab=${random.pick(['usage', 'billing', 'team'])}` : null
    visited.push({
      atMs,
      page,
      screen: random.pick(screens),
      previous: visited.at(-1)?.page.path ?? null,
      query: isFirst ? campaign.query : ownQuery,
      hash: isFirst ? landingHash : null,
    })
    // Well inside the 30 idle minutes after which Heap starts another session (5 in its mobile libraries).
    atMs += 1_500 + random.below(person.device.library === 'web' ? 480_000 : 240_000)
  }
  const former = random.chance(0.3) ? random.below(4) : 3
  return {
    person,
    userId: person.formerIds[former] ?? person.userId,
    sessionId: random.id(),
    startMs,
    campaign,
    landing,
    landingHash,
    pages: visited,
  }
}

/** How many of `total` things fall to each of `parts`: uneven, and in sum exact. */
export function shareOf(seed: number, stream: string, total: number, index: number, parts: number): number {
  const bound = (at: number) => {
    if (at === 0) return 0
    if (at === parts) return total
    return Math.floor((total * (at + seededRandom(seed, `${stream} ${at}`).fraction())) / parts)
  }
  return bound(index + 1) - bound(index)
}
