import type { PostHogVerification, RunProgress, SentTable, Verdict } from '@heapferry/domain'
import { unaccounted } from '../run-state.ts'
import { duration, grouped } from '../wording.ts'

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
}

/** Between what was sent and what is found. */
export interface Difference {
  totals: PostHogVerification['totals']
  /** Events that were sent and are not found. */
  short: number
  /** Events that are found and were not sent. */
  extra: number
  people: PostHogVerification['people']
}

export function verdictOf({ short, extra, people }: Difference, facts: VerdictFacts): Verdict {
  const { isRecent, hasGrown } = facts
  if (sendsMore(facts)) return 'pending'
  if (short > 0 || (people?.absent ?? 0) + (people?.apart ?? 0) > 0) return isRecent || hasGrown ? 'pending' : 'missing'
  return extra > 0 || (people?.mixed ?? 0) > 0 ? 'surplus' : 'verified'
}

function sendsMore({ isComplete, progress }: VerdictFacts): boolean {
  return !isComplete && progress.intent.kind !== 'cancel'
}

export function messageOf(verdict: Verdict, { totals, short, extra, people }: Difference, facts: VerdictFacts): string {
  const merges = people ? people.absent + people.apart : 0
  const lacking = [
    ...(short > 0 ? [`${grouped(short)} of ${grouped(totals.expected)} events`] : []),
    ...(merges > 0 ? [`${grouped(merges)} of ${grouped(people?.sampled ?? 0)} sampled merges`] : []),
  ].join(' and ')
  switch (verdict) {
    case 'verified':
      return `PostHog holds all ${grouped(totals.expected)} events that were sent, each on its day.`
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
    case 'surplus':
      return extra > 0
        ? `PostHog holds ${grouped(extra)} events of this run more than were sent.`
        : `${grouped(people?.mixed ?? 0)} people of the sample are one with somebody else in PostHog.`
  }
}

export function notesOf(
  verdict: Verdict,
  { totals, short, extra, people }: Difference,
  { progress, isComplete, uncounted, sourceFault }: VerdictFacts & { sourceFault: string | null },
): string[] {
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
          `The export could not be read again, so rows that it repeats cannot be told from missing ones, and merges are not sampled: ${sourceFault}`,
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
    ...(people && people.apart > 0
      ? ['Ids that are apart: PostHog refuses to merge somebody whom the project has identified already.']
      : []),
  ]
}
