import {
  type FoundEvents,
  OperatorError,
  type PostHogVerification,
  type Run,
  type RunProgress,
  type SentTable,
  type TimelineLedger,
  type TimeRange,
  type VerificationLedger,
  type VerifyProgress,
} from '@heapferry/domain'
import { isEveryChunkDone } from '../run-state.ts'
import {
  compareDays,
  doubtfulTables,
  type FoundOfDay,
  isCounted,
  isShort,
  type SentOfDay,
  sentByDay,
  settle,
} from './compare-days.ts'
import { comparePeople } from './compare-people.ts'
import { DayMap } from './day-map.ts'
import { dayRanges } from './day-ranges.ts'
import { type Look, lookOf } from './posthog-verification.ts'
import { RereadExport, type RereadWork } from './reread-export.ts'
import { type LookAtPeople, type PeopleQueries, PeopleVerification } from './verify-people.ts'

export interface VerifyWork extends RereadWork, PeopleQueries {
  ledger: RereadWork['ledger'] &
    Pick<TimelineLedger, 'timeline'> &
    Pick<VerificationLedger, 'sentTables' | 'verifications'>
  /** What PostHog holds of the run. */
  countEvents(ranges: readonly TimeRange[]): Promise<readonly FoundEvents[]>
  by: string
  /** What else a reader of the verdict should know. */
  notes: readonly string[]
  /** Whether people are counted, which takes reading the export; undefined: where it is small. */
  people: boolean | undefined
  /** So long after the last event was sent PostHog may still be taking events in. */
  lagMs: number
  onProgress?(progress: VerifyProgress): void
}

// Read in a minute or so: less than it takes a person to wonder.
const cheapRows = 2_000_000

/**
 * Compares what a run has sent with what PostHog holds, by event and day. Where less is found, the export is read again:
 * rows that it repeats are one event. The first look asks for every day, each further one for those that differed.
 */
export function verifyAgainstPostHog(run: Run, work: VerifyWork): { look(nowMs: number): Promise<Look> } {
  const found = new DayMap<FoundOfDay>()
  const reread = new RereadExport(run, work)
  const peopleVerification = new PeopleVerification(reread, work)
  /** By the look before, or a command before; undefined before the first look, null where nobody has looked. */
  let foundBefore: number | null | undefined

  async function look(nowMs: number): Promise<Look> {
    const progress = await work.ledger.progress(run.id)
    const tables = await work.ledger.sentTables(run.id)
    const isComplete = isEveryChunkDone(progress)
    const uncounted = tables.filter((table) => !isCounted(table))
    if (isComplete) await makeUpFor(uncounted, reread)
    const sent = sentByDay(tables, reread)

    const asksForAll = foundBefore === undefined || !isComplete
    await askFor(asksForAll ? everyDay(sent) : differingDays(sent, found), { sent, found, work })
    foundBefore ??= (await work.ledger.verifications(run.id)).posthog?.totals.found ?? null
    const foundNow = sum([...found].map(({ value }) => value.different))
    const hasGrown = foundBefore !== null && foundNow > foundBefore
    foundBefore = foundNow

    const lastSentMs = await lastSentAt(run, progress, work)
    const isRecent = nowMs - lastSentMs < work.lagMs
    const inDoubt = doubtfulTables(sent, found)
    const rows = sum(progress.tables.filter(({ table }) => inDoubt.has(table)).map(({ planned }) => planned))
    const isWorthReading = rows <= cheapRows || (!isRecent && !hasGrown)
    if (isComplete && inDoubt.size > 0 && reread.fault === null && isWorthReading) {
      await reread.count(inDoubt, (event, day) => isShort(sent.get(event, day), found.get(event, day)))
      if (reread.fault === null) settle(sent, found, reread)
    }

    const people = await samplePeople(reread, work)
    const days = [...compareDays(sent, found)]
    const isOnItsWay = (isRecent || hasGrown) && days.some((one) => one.found < one.expected)
    const planned = sum(progress.tables.map((table) => table.planned))
    const countsPeople = work.people ?? planned <= cheapRows
    let uniquePeople: LookAtPeople | null = null
    if (isComplete && countsPeople && !isOnItsWay && reread.fault === null)
      uniquePeople = await peopleVerification.look(days, rangesOf(everyDay(sent), sent))
    if (work.people && reread.fault !== null) throw cannotComparePeople(reread.fault)
    const sharedUuids = sum([...found].map(({ value }) => value.different - value.uuids))
    const facts = {
      progress,
      isComplete,
      isRecent,
      hasGrown,
      nowMs,
      lastSentMs,
      uncounted,
      leavesPeopleOut: !countsPeople,
    }
    return lookOf(run, { days, sharedUuids, people, uniquePeople, facts, sourceFault: reread.fault }, work)
  }

  return { look }
}

/**
 * Reads the tables that the ledger has not counted by day.
 * @throws OperatorError when that cannot be done
 */
async function makeUpFor(uncounted: readonly SentTable[], reread: RereadExport): Promise<void> {
  const unread = uncounted.filter(({ table }) => !reread.countsOf(table))
  if (unread.length === 0) return
  await reread.count(new Set(unread.map(({ table }) => table)), () => true)
  if (reread.fault === null) return
  throw new OperatorError(
    `The ledger lacks counts by day of ${unread.map(({ table }) => table).join(', ')}, and the export cannot be read to make up for it: ${reread.fault}`,
    'Make the export readable where the run found it, and verify again.',
  )
}

function cannotComparePeople(fault: string): OperatorError {
  return new OperatorError(
    `People cannot be compared, as the export cannot be read: ${fault}`,
    'Make the export readable where the run found it, or verify without --people.',
  )
}

/** Asks PostHog for days, and has what it answers take the place of what was found there before. */
async function askFor(
  days: readonly number[],
  { sent, found, work }: { sent: DayMap<SentOfDay>; found: DayMap<FoundOfDay>; work: VerifyWork },
): Promise<void> {
  work.onProgress?.({ kind: 'asking' })
  const answer = await work.countEvents(rangesOf(days, sent))
  for (const day of days) found.forget(day)
  for (const { event, day, rows, different, uuids } of answer) {
    const known = found.get(event, day) ?? { rows: 0, different: 0, uuids: 0 }
    // A day may be answered in parts.
    found.set(event, day, {
      rows: known.rows + rows,
      different: known.different + different,
      uuids: known.uuids + uuids,
    })
  }
}

function rangesOf(days: readonly number[], sent: DayMap<SentOfDay>): TimeRange[] {
  return dayRanges(days, (day) => {
    const events = [...sent.of(day).values()]
    return { events: sum(events.map(({ rows }) => rows)), names: events.length }
  })
}

async function lastSentAt(run: Run, progress: RunProgress, { ledger }: VerifyWork): Promise<number> {
  const retriedAtMs = (await ledger.timeline(run.id)).findLast(({ kind }) => kind === 'retried')?.atMs ?? 0
  return Math.max(progress.samples.at(-1)?.atMs ?? run.createdAtMs, retriedAtMs)
}

async function samplePeople(reread: RereadExport, work: VerifyWork): Promise<PostHogVerification['people']> {
  const merges = await reread.merges()
  if (merges === null || merges.length === 0) return null
  const ids = new Set(merges.flatMap(({ alias, distinctId }) => [alias, distinctId]))
  return comparePeople(merges, await work.personIds([...ids]))
}

/** All days from the first to the last, so that what stands where nothing was sent is found too. */
function everyDay(sent: DayMap<SentOfDay>): number[] {
  const days = sent.days()
  if (days.length === 0) return []
  const first = days.reduce((least, day) => Math.min(least, day))
  const last = days.reduce((most, day) => Math.max(most, day))
  return Array.from({ length: last - first + 1 }, (_, nth) => first + nth)
}

function differingDays(sent: DayMap<SentOfDay>, found: DayMap<FoundOfDay>): number[] {
  const days = [...compareDays(sent, found)].filter((one) => one.expected !== one.found)
  return [...new Set(days.map(({ day }) => day))].toSorted((a, b) => a - b)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0)
}
