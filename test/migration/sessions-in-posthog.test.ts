import type { PostHogEvent, ReadRow, Table } from '@heapferry/domain'
import { convertersOf, findSessionsIn, openSessions } from '@heapferry/migration'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { tries } from '../support/tries.ts'
import { saved, tableOf } from './sessions-of.ts'

/** One session of an export as Heap has it, before anything of it is written down. */
interface Visit {
  person: number
  sessionId: string
  startMs: number
  referrer: string | null
  campaign: string | null
  /** In milliseconds after the start; what is no page is a bare event. The moment of identification is one of them. */
  events: { afterMs: number; isPage: boolean; isIdentified: boolean }[]
}

const dayMs = 86_400_000
const from = Date.UTC(2023, 0, 1)

const visits = fc
  .uniqueArray(
    fc.record({
      person: fc.integer({ min: 1, max: 4 }),
      // Drawn, or numbered for each person.
      sessionId: fc.oneof(fc.integer({ min: 2 ** 40, max: 2 ** 53 - 1 }), fc.integer({ min: 1, max: 3 })).map(String),
      startMs: fc.integer({ min: 0, max: 3 * dayMs }).map((ms) => from + ms),
      referrer: fc.constantFrom(null, 'https://www.google.com/', 'https://news.example/a'),
      campaign: fc.constantFrom(null, 'spring'),
      events: fc.array(
        fc.record({
          afterMs: fc.integer({ min: 1, max: dayMs - 1 }),
          isPage: fc.boolean(),
          isIdentified: fc.boolean(),
        }),
        { minLength: 1, maxLength: 6 },
      ),
    }),
    {
      selector: ({ person, sessionId }) => (Number(sessionId) < 10 ? `${person} ${sessionId}` : sessionId),
      maxLength: 8,
    },
  )
  .map((all): Visit[] => all)

/** The ids of a person: before and after Heap knew them. */
const anonymousId = (person: number): string => String(100 + person)
const identifiedId = (person: number): string => String(200 + person)

const eventColumns = ['event_id', 'user_id', 'session_id', 'time', 'library']
const pageColumns = [...eventColumns, 'domain', 'path']

test('in whatever order events arrive, PostHog has the sessions that Heap had: as many of each person, from start to end, with their first page, referrer and campaign', async () => {
  await fc.assert(
    fc.asyncProperty(visits, fc.infiniteStream(fc.nat()), async (all, dice) => {
      const events = await sent(all)
      const shuffled = events.map((event) => ({ event, at: dice.next().value ?? 0 })).toSorted((a, b) => a.at - b.at)
      const table = sessionTable(shuffled.map(({ event }) => event))
      expect(table.toSorted(byStart)).toEqual(all.map(expectedOf).toSorted(byStart))
    }),
    { numRuns: tries(200) },
  )
})

/** A session as PostHog's table has it, as far as channels, entry pages and counts go. */
interface Session {
  startMs: number
  persons: number[]
  firstMs: number
  lastMs: number
  entryPage: string | null
  referringDomain: string | null
  campaign: string | null
}

/**
 * Made of events as PostHog makes it: `$session_id` has to be a UUIDv7, whose time is not after the first event and less than
 * 24 hours before the last; what led to the session is of its earliest event that says anything.
 */
function sessionTable(events: readonly PostHogEvent[]): Session[] {
  const byId = new Map<string, PostHogEvent[]>()
  for (const event of events) {
    const id = String(event.properties['$session_id'])
    byId.set(id, [...(byId.get(id) ?? []), event])
  }
  return [...byId].map(([id, ofSession]) => {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    const startMs = Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
    const times = ofSession.map(({ timestamp }) => Date.parse(timestamp))
    expect(Math.min(...times)).toBeGreaterThanOrEqual(startMs)
    expect(Math.max(...times)).toBeLessThan(startMs + dayMs)
    const sorted = ofSession.toSorted((a, b) => (a.timestamp < b.timestamp ? -1 : 1))
    const earliest = (property: string): string | null => {
      const value = sorted.find(({ properties }) => properties[property] !== undefined)?.properties[property]
      return typeof value === 'string' ? value : null
    }
    return {
      startMs,
      persons: [...new Set(ofSession.map(({ distinct_id: userId }) => Number(userId) % 100))],
      firstMs: Math.min(...times),
      lastMs: Math.max(...times),
      entryPage: earliest('$current_url'),
      referringDomain: earliest('$referring_domain'),
      campaign: earliest('utm_campaign'),
    }
  })
}

function expectedOf({ person, startMs, referrer, campaign, events }: Visit): Session {
  const times = events.map(({ afterMs }) => startMs + afterMs)
  const pages = events.filter(({ isPage }) => isPage).map(({ afterMs }) => afterMs)
  return {
    startMs,
    persons: [person],
    firstMs: Math.min(...times),
    lastMs: Math.max(...times),
    entryPage: pages.length === 0 ? null : `https://www.example.com/${Math.min(...pages)}`,
    referringDomain: referrer === null ? '$direct' : new URL(referrer).host,
    campaign,
  }
}

function byStart(a: Session, b: Session): number {
  return a.startMs - b.startMs || (a.persons[0] ?? 0) - (b.persons[0] ?? 0) || a.firstMs - b.firstMs
}

async function sent(all: readonly Visit[]): Promise<PostHogEvent[]> {
  const people = [...new Set(all.map(({ person }) => person))]
  const scene = await saved([
    tableOf(
      'user_migrations',
      ['from_user_id', 'to_user_id', 'time'],
      people.map((person) => [anonymousId(person), identifiedId(person), timeOf(from)]),
    ),
    tableOf(
      'sessions',
      ['user_id', 'session_id', 'time', 'library', 'referrer', 'utm_campaign', 'browser'],
      all.map(({ person, sessionId, startMs, referrer, campaign }) => [
        anonymousId(person),
        sessionId,
        timeOf(startMs),
        'web',
        referrer,
        campaign,
        'Safari 17',
      ]),
    ),
  ])
  const converterFor = convertersOf(scene.run, scene.identities, null)
  const find = findSessionsIn(await openSessions(scene.run, scene.kept), scene.run, scene.identities)
  const rowsOf = (isPage: boolean, columns: string[]): ReadRow[] =>
    all.flatMap(({ person, sessionId, startMs, events }, visit) =>
      events.flatMap((event, nth): ReadRow[] => {
        if (event.isPage !== isPage) return []
        const cells: Record<string, string> = {
          event_id: String(visit * 100 + nth + 1),
          user_id: event.isIdentified ? identifiedId(person) : anonymousId(person),
          session_id: sessionId,
          time: timeOf(startMs + event.afterMs),
          library: 'web',
          domain: 'www.example.com',
          path: `/${event.afterMs}`,
        }
        const values = columns.map((column) => cells[column] ?? null)
        return [{ kind: 'row', place: { row: nth + 1, byte: 0 }, columns, values }]
      }),
    )
  const tables: [Table, ReadRow[]][] = [
    [{ kind: 'pageviews', name: 'pageviews' }, rowsOf(true, pageColumns)],
    [{ kind: 'event', name: 'click' }, rowsOf(false, eventColumns)],
  ]
  const events: PostHogEvent[] = []
  for (const [table, rows] of tables) {
    for (const row of await find(rows, table)) {
      if (row.kind !== 'row') throw new Error('rows are readable')
      const conversion = converterFor(table, row.columns)(row.values, row.types, row.session)
      if (conversion.kind !== 'event') throw new Error(`an event is expected, not ${JSON.stringify(conversion)}`)
      events.push(conversion.event)
    }
  }
  return events
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').replace('Z', '')
}
