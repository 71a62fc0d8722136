import type { PostHogVerification, RunProgress, SentTable, Verdict } from '@heapferry/domain'
import { unaccounted } from '../run-state.ts'
import { counted, duration, grouped } from '../wording.ts'
import { differenceOf } from './compare-unique-people.ts'
import type { LookAtPeople } from './verify-people.ts'

/** What else a verdict depends on than counts. */
export interface VerdictFacts {
  progress: RunProgress
  /** Every chunk is done. */
  isComplete: boolean
  isRecent: boolean
  /** Since the look before this one. */
  hasGrown: boolean
  nowMs: number
  lastSentMs: number
  uncounted: readonly SentTable[]
  /** The export is large, or nobody wants to know. */
  leavesPeopleOut: boolean
}

/** Between what was sent and what is found. */
export interface Difference {
  totals: PostHogVerification['totals']
  /** Events that were sent and are not found. */
  short: number
  /** Events that are found and were not sent. */
  extra: number
  people: PostHogVerification['people']
  uniquePeople: LookAtPeople | null
}

export function verdictOf(difference: Difference, facts: VerdictFacts): Verdict {
  const { isRecent, hasGrown } = facts
  if (sendsMore(facts)) return 'pending'
  if (lackingIn(difference).length > 0) return isRecent || hasGrown ? 'pending' : 'missing'
  const { extra, people } = difference
  const { together, withMore } = peopleIn(difference)
  return extra > 0 || (people?.mixed ?? 0) + together + withMore > 0 ? 'surplus' : 'verified'
}

/** What is not found of what was sent, in words. */
function lackingIn(difference: Difference): string[] {
  const { totals, short, people } = difference
  const merges = people ? people.absent + people.apart : 0
  const { compared, apart, sampled, withFewer } = peopleIn(difference)
  return [
    ...(short > 0 ? [`${grouped(short)} of ${grouped(totals.expected)} events`] : []),
    ...(merges > 0 ? [`${grouped(merges)} of ${grouped(people?.sampled ?? 0)} sampled merges`] : []),
    ...(apart > 0 ? [`merges of people in ${grouped(apart)} of ${countsOfPeople(compared)}`] : []),
    ...(withFewer > 0
      ? [`events of ${grouped(withFewer)} of ${counted(sampled, 'sampled person', 'sampled people')}`]
      : []),
  ]
}

/** Counts of people, and sampled people, that differ. */
function peopleIn({ uniquePeople }: Difference) {
  const { counts = [], differing = [], sample = null } = uniquePeople ?? {}
  const differences = differing.map(({ count }) => differenceOf(count))
  const ofSample = sample?.differing.map((one) => one.found_events - one.expected_events) ?? []
  return {
    compared: counts.filter(({ isLeftOut }) => !isLeftOut).length,
    apart: differences.filter((one) => one > 0).length,
    together: differences.filter((one) => one < 0).length,
    sampled: sample?.people ?? 0,
    withFewer: ofSample.filter((one) => one < 0).length,
    withMore: ofSample.filter((one) => one > 0).length,
  }
}

function countsOfPeople(count: number): string {
  return `${counted(count, 'count', 'counts')} by event and month`
}

function sendsMore({ isComplete, progress }: VerdictFacts): boolean {
  return !isComplete && progress.intent.kind !== 'cancel'
}

export function messageOf(verdict: Verdict, difference: Difference, facts: VerdictFacts): string {
  const { totals, extra, people, uniquePeople } = difference
  const lacking = listText(lackingIn(difference))
  switch (verdict) {
    case 'verified': {
      const events = `PostHog holds all ${grouped(totals.expected)} events that were sent, each on its day`
      return uniquePeople ? `${events}, and counts the people that the export has.` : `${events}.`
    }
    case 'pending': {
      if (sendsMore(facts))
        return `The run is not finished. PostHog holds ${grouped(totals.found)} of ${grouped(totals.expected)} events that were sent so far.`
      const why = facts.hasGrown
        ? 'more arrive from look to look'
        : `the last was sent ${duration((facts.nowMs - facts.lastSentMs) / 1000)} ago`
      return `${lacking} are not found yet. PostHog may still be taking them in: ${why}.`
    }
    case 'missing':
      return `${lacking} are missing in PostHog.`
    case 'surplus': {
      const mixed = people?.mixed ?? 0
      const { compared, together, sampled, withMore } = peopleIn(difference)
      if (extra > 0) return `PostHog holds ${grouped(extra)} events of this run more than were sent.`
      if (mixed > 0) return `${grouped(mixed)} people of the sample are one with somebody else in PostHog.`
      return together > 0
        ? `PostHog counts fewer people than the export has in ${grouped(together)} of ${countsOfPeople(compared)}.`
        : `${grouped(withMore)} of ${counted(sampled, 'sampled person', 'sampled people')} have more events of this run in PostHog than were sent of them.`
    }
  }
}

function listText(parts: readonly string[]): string {
  return parts.length < 3 ? parts.join(' and ') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`
}

export function notesOf(
  verdict: Verdict,
  difference: Difference,
  { progress, isComplete, uncounted, leavesPeopleOut, sourceFault }: VerdictFacts & { sourceFault: string | null },
): string[] {
  const { totals, short, extra, people, uniquePeople } = difference
  const { apart, together, withMore } = peopleIn(difference)
  const leftOut = uniquePeople?.counts.filter(({ isLeftOut }) => isLeftOut).length ?? 0
  const isUnsure = uniquePeople?.counts.some(({ unsure }) => unsure.more + unsure.fewer > 0) ?? false
  const repeated = totals.sent - totals.expected
  const unaccountedFor = isComplete ? unaccounted(progress) : null
  return [
    ...(unaccountedFor === null
      ? []
      : [`Beside what was sent, ${unaccountedFor}. \`heapferry status\` says what to do.`]),
    ...(repeated > 0
      ? [`Rows of the export that repeat others: ${grouped(repeated)}. PostHog keeps one event of each.`]
      : []),
    ...(totals.copies > 0
      ? [`Copies of events that arrived more than once: ${grouped(totals.copies)}. PostHog merges them by and by.`]
      : []),
    ...(totals.shared_uuids > 0
      ? [
          `Events that share their uuid with one of another person: ${grouped(totals.shared_uuids)}. The export has their event_id under several user ids.`,
        ]
      : []),
    ...uncounted.map(
      ({ table }) =>
        `${table}: the ledger lacks counts by day, so ${isComplete ? 'they were taken from the export' : 'its days cannot be told before the run is complete'}.`,
    ),
    ...(sourceFault === null
      ? []
      : [
          `The export could not be read again, so rows that it repeats cannot be told from missing ones, merges are not sampled, and people are not compared: ${sourceFault}`,
        ]),
    ...(!isComplete && short > 0
      ? ['Rows that the export repeats cannot be told from missing ones before a run is complete.']
      : []),
    ...(verdict === 'missing'
      ? [
          'Look into PostHog’s ingestion warnings (Data management), and whether the project drops old events. If the same rows were sent again by a later run, they carry its name: verify that one.',
        ]
      : []),
    ...(extra > 0
      ? [
          'Events are known by the name of the run: another run of this name may have gone to the same project. One that was cancelled or killed may have sent batches that it did not count.',
        ]
      : []),
    ...((people?.apart ?? 0) + apart > 0
      ? ['Ids that are apart: PostHog refuses to merge somebody whom the project has identified already.']
      : []),
    ...((people?.mixed ?? 0) + together + withMore > 0
      ? [
          'Only events of this run are counted, but persons are those of the whole project: where other code than the run’s has merged people (identify, alias), they are one there and several in Heap.',
        ]
      : []),
    ...(leftOut > 0
      ? [
          `People were not compared in ${countsOfPeople(leftOut)}, because the events there are not those that were sent.`,
        ]
      : []),
    ...(isUnsure
      ? ['Rows were sent by retries, perhaps with another user id: counts of people may differ by as many.']
      : []),
    ...(isComplete && leavesPeopleOut
      ? ['People were not counted: that takes reading every row of the export once more. `verify --people` does it.']
      : []),
  ]
}
