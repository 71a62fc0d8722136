import type { PostHogVerification, Run, UniquePeople, VerifiedEvent } from '@heapferry/domain'
import type { ComparedDay } from './compare-days.ts'
import { listedPeople } from './compare-unique-people.ts'
import { dayText } from './day-map.ts'
import { messageOf, notesOf, type VerdictFacts, verdictOf } from './verdict.ts'
import { verifiedEvents } from './verified-events.ts'
import type { LookAtPeople } from './verify-people.ts'

/** The events of one name and UTC day, `YYYY-MM-DD`. */
export type DayOfEvent = Omit<ComparedDay, 'day'> & { day: string }

/** One look at what PostHog holds. */
export interface Look {
  verification: PostHogVerification
  /** Every day, ascending. */
  days: readonly DayOfEvent[]
  /** The people under each event and month, ascending; null where they were not compared. */
  peopleByMonth: readonly CountOfPeople[] | null
  /** The sum of all, and of the events that the verification lists, each in full. */
  events: readonly VerifiedEvent[]
}

/** The different people under an event, in a month, or a part of one. */
export type CountOfPeople = ReturnType<typeof listedPeople>

/** What a look has found. */
interface LookedAt {
  /** By day and name, ascending. */
  days: readonly ComparedDay[]
  /** Events that share their uuid with another. */
  sharedUuids: number
  people: PostHogVerification['people']
  uniquePeople: LookAtPeople | null
  facts: VerdictFacts
  /** Why the export cannot be read; null where it can, or did not have to be. */
  sourceFault: string | null
}

const lookAgainMs = 5 * 60_000
const listedEvents = 1000
const listedDays = 100
const listedCounts = 100

export function lookOf(
  run: Run,
  { days, sharedUuids, people, uniquePeople, facts, sourceFault }: LookedAt,
  { by, notes }: { by: string; notes: readonly string[] },
): Look {
  const byEvent = totalsByEvent(days)
  const listedOnes = byEvent.slice(0, listedEvents)
  const differing = days.filter((one) => one.expected !== one.found)
  const totals = {
    read: sum(facts.progress.tables.map(({ tally }) => tally.read)),
    sent: sum(days.map((one) => one.sent)),
    expected: sum(days.map((one) => one.expected)),
    found: sum(days.map((one) => one.found)),
    copies: sum(days.map((one) => one.copies)),
    shared_uuids: sharedUuids,
  }
  const difference = {
    totals,
    short: sum(differing.map((one) => Math.max(0, one.expected - one.found))),
    extra: sum(differing.map((one) => Math.max(0, one.found - one.expected))),
    people,
    uniquePeople,
  }
  const verdict = verdictOf(difference, facts)
  return {
    days: days.map(listed),
    peopleByMonth: uniquePeople && uniquePeople.counts.map(listedPeople),
    events: verifiedEvents(
      days,
      uniquePeople && uniquePeople.counts,
      listedOnes.map(({ event }) => event),
    ),
    verification: {
      kind: 'posthog',
      run: run.id,
      verdict,
      message: messageOf(verdict, difference, facts),
      verified_at: new Date(facts.nowMs).toISOString(),
      by,
      look_again_at:
        verdict === 'pending' && facts.isComplete ? new Date(facts.nowMs + lookAgainMs).toISOString() : null,
      totals,
      events: listedOnes,
      more_events: byEvent.length - listedOnes.length,
      differing: differing.slice(0, listedDays).map(listed),
      more_differing: Math.max(0, differing.length - listedDays),
      people,
      unique_people: uniquePeople && storedPeople(uniquePeople),
      notes: [...notesOf(verdict, difference, { ...facts, sourceFault }), ...notes],
    },
  }
}

function storedPeople({ counts, differing, sample }: LookAtPeople): UniquePeople {
  const leftOut = counts.filter(({ isLeftOut }) => isLeftOut).length
  return {
    compared: counts.length - leftOut,
    left_out: leftOut,
    differing: differing
      .slice(0, listedCounts)
      .map(({ count, people }) => ({ ...listedPeople(count), people: [...people] })),
    more_differing: Math.max(0, differing.length - listedCounts),
    sample,
  }
}

/** Those with the most events first. */
function totalsByEvent(days: readonly ComparedDay[]): PostHogVerification['events'] {
  const events = new Map<string, PostHogVerification['events'][number]>()
  for (const one of days) {
    const total = events.get(one.event) ?? {
      event: one.event,
      sent: 0,
      expected: 0,
      found: 0,
      copies: 0,
      days: 0,
      differing_days: 0,
    }
    events.set(one.event, total)
    for (const figure of ['sent', 'expected', 'found', 'copies'] as const) total[figure] += one[figure]
    total.days++
    if (one.expected !== one.found) total.differing_days++
  }
  return [...events.values()].toSorted((a, b) => Math.max(b.sent, b.found) - Math.max(a.sent, a.found))
}

function listed(one: ComparedDay): DayOfEvent {
  return { ...one, day: dayText(one.day) }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0)
}
