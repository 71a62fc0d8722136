import {
  type FileLedger,
  type FoundEvents,
  type Identities,
  OperatorError,
  phaseOf,
  type PostHogVerification,
  type RejectedLedger,
  type RowKey,
  type Run,
  type RunLedger,
  type SentTable,
  type Source,
  type TimelineLedger,
  type TimeRange,
  type VerificationLedger,
} from '@heapferry/domain'
import { convertersOf } from '../converters.ts'
import { noIdentities } from '../identities/no-identities.ts'
import { isRunComplete } from '../run-state.ts'
import { DayMap, dayText } from './day-map.ts'
import { dayRanges } from './day-ranges.ts'
import type { Scratch } from './distinct-counter.ts'
import { type Recounted, recount } from './recount.ts'
import { type Merge, sampleMerges } from './sample-merges.ts'
import { type Facts, messageOf, notesOf, verdictOf } from './verdict.ts'

export interface VerifyWork {
  ledger: Pick<
    RunLedger & FileLedger & TimelineLedger & RejectedLedger & VerificationLedger,
    'progress' | 'sentTables' | 'files' | 'rejectedRows' | 'retriedRows' | 'timeline' | 'verifications'
  >
  /** What PostHog holds of the run. */
  countEvents(ranges: readonly TimeRange[]): Promise<readonly FoundEvents[]>
  personIds(distinctIds: readonly string[]): Promise<ReadonlyMap<string, string>>
  /** The export that the run was made from. */
  source: Pick<Source, 'readAll' | 'sample'>
  identities(): Promise<Identities>
  /** What hashes of the run are keyed with; null where it hashes nothing. */
  hashSalt: string | null
  scratch: Scratch
  by: string
  /** What else a reader of the verdict should know. */
  notes: readonly string[]
  /** So long after the last event was sent PostHog may still be taking events in. */
  lagMs: number
  signal: AbortSignal
  onProgress?(progress: VerifyProgress): void
}

export type VerifyProgress = { doing: 'asking' } | { doing: 'reading'; table: string; rows: number }

/** The events of one name and UTC day. */
export interface VerifiedDay {
  event: string
  day: string
  sent: number
  expected: number
  found: number
  copies: number
}

/** One look at what PostHog holds. */
export interface Look {
  verification: PostHogVerification
  /** Every day, ascending. */
  days: readonly VerifiedDay[]
}

/** What is known of a day and event: who sent it, and how much. */
interface Sent {
  rows: number
  /** Null until the export was read for it: nearly always each row is an event of its own. */
  different: number | null
  tables: Set<string>
}

interface Found {
  rows: number
  different: number
  uuids: number
}

// Read in a minute or so: less than it takes a person to wonder.
const cheapRows = 2_000_000
const lookAgainMs = 5 * 60_000
const listedEvents = 1000
const listedDays = 100

/**
 * Compares what a run has sent with what PostHog holds, by event and day. Where less is found, the export is read again:
 * rows that it repeats are one event. The first look asks for every day, each further one for those that differed.
 */
export function verifyAgainstPostHog(run: Run, work: VerifyWork): { look(nowMs: number): Promise<Look> } {
  const found = new DayMap<Found>()
  const recounted = new Map<string, DayMap<Recounted>>()
  let sourceFault: string | null = null
  let foundBefore: number | null | undefined
  /** Null where the export cannot be read. */
  let merges: readonly Merge[] | null | undefined

  async function look(nowMs: number): Promise<Look> {
    const progress = await work.ledger.progress(run.id)
    const tables = await work.ledger.sentTables(run.id)
    const isComplete = isRunComplete(progress)
    const uncounted = tables.filter((table) => !isCounted(table))
    const unread = uncounted.filter(({ table }) => !recounted.has(table))
    if (isComplete && unread.length > 0) {
      await recountTables(new Set(unread.map(({ table }) => table)), () => true)
      if (sourceFault !== null) throw notCounted(unread, sourceFault)
    }
    const sent = sentByDay(tables)

    await askFor(foundBefore === undefined || !isComplete ? everyDay(sent) : differingDays(sent), sent)
    foundBefore ??= (await work.ledger.verifications(run.id)).posthog?.totals.found ?? null
    const foundNow = sum([...found].map(({ value }) => value.different))
    const hasGrown = foundBefore !== null && foundNow > foundBefore
    foundBefore = foundNow

    const retriedAtMs = (await work.ledger.timeline(run.id)).findLast(({ kind }) => kind === 'retried')?.atMs ?? 0
    const lastSentMs = Math.max(progress.samples.at(-1)?.atMs ?? run.createdAtMs, retriedAtMs)
    const isRecent = nowMs - lastSentMs < work.lagMs
    const inDoubt = doubtfulTables(sent)
    const rows = sum(progress.tables.filter(({ table }) => inDoubt.has(table)).map(({ planned }) => planned))
    if (isComplete && inDoubt.size > 0 && sourceFault === null && (rows <= cheapRows || (!isRecent && !hasGrown))) {
      await recountTables(inDoubt, (event, day) => isShort(sent.get(event, day), found.get(event, day)))
      if (sourceFault === null) settle(sent)
    }
    const people = await samplePeople()
    const facts = { progress, isComplete, isRecent, hasGrown, nowMs, lastSentMs, uncounted }
    return verificationOf(sent, people, facts)
  }

  async function recountTables(
    tables: ReadonlySet<string>,
    isWanted: (event: string, day: number) => boolean,
  ): Promise<void> {
    const files = (await work.ledger.files(run.id)).filter(({ table }) => tables.has(table.name))
    const ofPeople = files.some(({ table }) => phaseOf(table.kind) === 'identities')
    try {
      const identities = ofPeople ? await work.identities() : noIdentities
      const { tables: all } = await work.ledger.progress(run.id)
      // Those that were held back are sent by now, if none is left of them.
      const includeRecent = run.includeRecent || all.every(({ tally }) => !tally.skipped.held_back)
      const counts = await recount(
        files,
        (table, event, day) => isWanted(event, day) && recounted.get(table)?.get(event, day) === undefined,
        {
          source: work.source,
          converterFor: convertersOf({ ...run, includeRecent }, identities, work.hashSalt),
          otherwise: endedOtherwise(),
          scratch: work.scratch,
          signal: work.signal,
          onRows: (table, rows) => work.onProgress?.({ doing: 'reading', table, rows }),
        },
      )
      for (const [table, days] of counts) {
        for (const { event, day, value } of days) daysOf(table).set(event, day, value)
      }
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      sourceFault = error.message
    }
  }

  async function* endedOtherwise(): AsyncGenerator<RowKey> {
    yield* work.ledger.rejectedRows(run.id)
    yield* work.ledger.retriedRows(run.id)
  }

  function daysOf(table: string): DayMap<Recounted> {
    const known = recounted.get(table) ?? new DayMap<Recounted>()
    recounted.set(table, known)
    return known
  }

  /** Takes over what was read, so that no row is read for the same question again. */
  function settle(sent: DayMap<Sent>): void {
    for (const { event, day, value } of sent) {
      if (value.different !== null || !isShort(value, found.get(event, day))) continue
      for (const table of value.tables) {
        // All of them were sent by retries, and so are not what the export has.
        if (!daysOf(table).get(event, day)) daysOf(table).set(event, day, { rows: 0, different: 0 })
      }
      value.different = differentOf(event, day, value)
    }
  }

  function sentByDay(tables: readonly SentTable[]): DayMap<Sent> {
    const sent = new DayMap<Sent>()
    const add = (table: string, event: string, day: number, rows: number): void => {
      const known = sent.get(event, day) ?? { rows: 0, different: null, tables: new Set<string>() }
      known.rows += rows
      known.tables.add(table)
      sent.set(event, day, known)
    }
    for (const counted of tables) {
      const { table, events } = counted
      const fromSource = isCounted(counted) ? undefined : recounted.get(table)
      if (fromSource) for (const { event, day, value } of fromSource) add(table, event, day, value.rows)
      else for (const { event, days } of events) for (const [day, rows] of days) add(table, event, day, rows)
    }
    for (const { event, day, value } of sent) value.different = differentOf(event, day, value)
    return sent
  }

  /** Null where not all of the tables that sent such events were read. */
  function differentOf(event: string, day: number, { tables, rows }: Sent): number | null {
    let repeated = 0
    for (const table of tables) {
      const known = recounted.get(table)?.get(event, day)
      if (!known) return null
      // The uuid of an event depends on its table, so no event of one table is one of another.
      repeated += known.rows - known.different
    }
    return rows - repeated
  }

  /** The tables whose rows may repeat each other: PostHog has less of them than was sent. */
  function doubtfulTables(sent: DayMap<Sent>): Set<string> {
    const tables = new Set<string>()
    for (const { event, day, value } of sent) {
      if (value.different !== null || !isShort(value, found.get(event, day))) continue
      for (const table of value.tables) tables.add(table)
    }
    return tables
  }

  async function askFor(days: readonly number[], sent: DayMap<Sent>): Promise<void> {
    work.onProgress?.({ doing: 'asking' })
    const ranges = dayRanges(days, (day) => {
      const events = [...sent.of(day).values()]
      return { events: sum(events.map(({ rows }) => rows)), names: events.length }
    })
    const answer = await work.countEvents(ranges)
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

  function differingDays(sent: DayMap<Sent>): number[] {
    const days = new Set<number>()
    for (const { day, ...pair } of pairs(sent)) if (pair.expected !== pair.found) days.add(day)
    return [...days].toSorted((a, b) => a - b)
  }

  function* pairs(
    sent: DayMap<Sent>,
  ): Generator<{ event: string; day: number; sent: number; expected: number; found: number; copies: number }> {
    for (const day of [...new Set([...sent.days(), ...found.days()])].toSorted((a, b) => a - b)) {
      for (const event of [...new Set([...sent.of(day).keys(), ...found.of(day).keys()])].toSorted()) {
        const known = sent.get(event, day)
        const held = found.get(event, day) ?? { rows: 0, different: 0, uuids: 0 }
        yield {
          event,
          day,
          sent: known?.rows ?? 0,
          expected: known?.different ?? known?.rows ?? 0,
          found: held.different,
          copies: held.rows - held.different,
        }
      }
    }
  }

  async function samplePeople(): Promise<PostHogVerification['people']> {
    if (merges === undefined) merges = await mergesOfExport()
    if (merges === null || merges.length === 0) return null
    const ids = new Set(merges.flatMap(({ alias, distinctId }) => [alias, distinctId]))
    return comparePeople(merges, await work.personIds([...ids]))
  }

  async function mergesOfExport(): Promise<readonly Merge[] | null> {
    const files = (await work.ledger.files(run.id)).filter(({ table }) => phaseOf(table.kind) === 'identities')
    if (files.length === 0) return []
    try {
      const converterFor = convertersOf(run, await work.identities(), work.hashSalt)
      return await sampleMerges(files, { source: work.source, converterFor })
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error
      sourceFault ??= error.message
      return null
    }
  }

  function verificationOf(sent: DayMap<Sent>, people: PostHogVerification['people'], facts: Facts): Look {
    const days = [...pairs(sent)]
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
    const byEvent = [...events.values()].toSorted((a, b) => Math.max(b.sent, b.found) - Math.max(a.sent, a.found))
    const differing = days.filter((one) => one.expected !== one.found)
    const totals = {
      read: sum(facts.progress.tables.map(({ tally }) => tally.read)),
      sent: sum(days.map((one) => one.sent)),
      expected: sum(days.map((one) => one.expected)),
      found: sum(days.map((one) => one.found)),
      copies: sum(days.map((one) => one.copies)),
      shared_uuids: sum([...found].map(({ value }) => value.different - value.uuids)),
    }
    const outcome = {
      totals,
      short: sum(differing.map((one) => Math.max(0, one.expected - one.found))),
      extra: sum(differing.map((one) => Math.max(0, one.found - one.expected))),
      people,
    }
    const verdict = verdictOf(outcome, facts)
    const listed = (one: (typeof days)[number]) => ({ ...one, day: dayText(one.day) })
    return {
      days: days.map(listed),
      verification: {
        kind: 'posthog',
        run: run.id,
        verdict,
        message: messageOf(verdict, outcome, facts),
        verified_at: new Date(facts.nowMs).toISOString(),
        by: work.by,
        look_again_at:
          verdict === 'pending' && facts.isComplete ? new Date(facts.nowMs + lookAgainMs).toISOString() : null,
        totals,
        events: byEvent.slice(0, listedEvents),
        more_events: Math.max(0, byEvent.length - listedEvents),
        differing: differing.slice(0, listedDays).map(listed),
        more_differing: Math.max(0, differing.length - listedDays),
        people,
        notes: [...notesOf(verdict, outcome, facts, sourceFault), ...work.notes],
      },
    }
  }

  return { look }
}

/** All days from the first to the last, so that what stands where nothing was sent is found too. */
function everyDay(sent: DayMap<Sent>): number[] {
  const days = sent.days()
  if (days.length === 0) return []
  const first = days.reduce((least, day) => Math.min(least, day))
  const last = days.reduce((most, day) => Math.max(most, day))
  return Array.from({ length: last - first + 1 }, (_, nth) => first + nth)
}

/** Whether the counts by day of a table hold all that was sent of it. */
function isCounted({ rows, events }: SentTable): boolean {
  return sum(events.flatMap(({ days }) => [...days.values()])) === rows
}

function isShort(sent: Sent | undefined, found: Found | undefined): boolean {
  return sent !== undefined && (found?.different ?? 0) < sent.rows
}

function comparePeople(
  merges: readonly Merge[],
  personIds: ReadonlyMap<string, string>,
): NonNullable<PostHogVerification['people']> {
  const people = { sampled: merges.length, joined: 0, apart: 0, absent: 0, mixed: 0 }
  const ownerOf = new Map<string, string>()
  const mixed = new Set<string>()
  for (const { alias, distinctId } of merges) {
    const [person, other] = [personIds.get(distinctId), personIds.get(alias)]
    if (person === undefined || other === undefined) people.absent++
    else if (person === other) people.joined++
    else people.apart++
    if (person === undefined) continue
    const owner = ownerOf.get(person) ?? distinctId
    ownerOf.set(person, owner)
    if (owner !== distinctId) mixed.add(distinctId)
  }
  return { ...people, mixed: mixed.size }
}

function notCounted(uncounted: readonly SentTable[], why: string): OperatorError {
  return new OperatorError(
    `The ledger lacks counts by day of ${uncounted.map(({ table }) => table).join(', ')}, and the export cannot be read to make up for it: ${why}`,
    'Make the export readable where the run found it, and verify again.',
  )
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0)
}
