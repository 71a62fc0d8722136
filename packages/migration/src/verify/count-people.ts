import { type ExportFile, phaseOf, type TimeRange } from '@heapferry/domain'
import { dayOf } from '../convert-slice.ts'
import { PackedRows } from '../identities/packed-rows.ts'
import type { Scratch } from '../scratch.ts'
import { daysOf } from './day-ranges.ts'
import { DistinctCounter } from './distinct-counter.ts'
import { noteId, PeopleSample } from './people-sample.ts'
import { mergeOf } from './sample-merges.ts'
import { type RereadingWork, type RowsOfFiles, sentEvents } from './sent-events.ts'
import { addMerge, SentPeople } from './sent-people.ts'

export interface CountPeopleWork extends RereadingWork {
  rejected: RowsOfFiles
  /** Rows that a retry has sent, perhaps as something else than the export has. */
  retried: RowsOfFiles
  scratch: Scratch
  /** Whether everybody has a person in PostHog who can be asked for, or only those who were merged. */
  anonymous: 'full' | 'personless'
}

/** The people under one event, in one range of days. */
interface PeopleOfEvent {
  rows: number
  people: number
}

export interface CountedPeople {
  /** By range and event. */
  counts: ReadonlyMap<TimeRange, ReadonlyMap<string, PeopleOfEvent>>
  /** Events whose ids may be identities. */
  ofPeople: ReadonlySet<string>
  /** Different events of each of some people, in all ranges together. */
  sample: readonly { ids: ReadonlyMap<string, boolean>; events: number }[]
  /** Merges that retries have sent, perhaps: they may have made one person of two. */
  unsureMerges: number
  people: SentPeople
}

const sampledMerged = 24
const sampledOthers = 8

/**
 * Counts the different people under each event, in ranges of whole days, exactly: every row is read, those about people
 * twice, and each takes 12 bytes of scratch where memory ends.
 * @throws OperatorError when a file cannot be read, or is not the one that the run was planned with
 */
export async function countPeople(
  files: readonly ExportFile[],
  ranges: readonly TimeRange[],
  work: CountPeopleWork,
): Promise<CountedPeople> {
  const filesOfPeople = files.filter(({ table }) => phaseOf(table.kind) === 'identities')
  const people = await sentPeople(filesOfPeople, work)
  const counter = new DistinctCounter(work.scratch)
  const counted = new Map(ranges.map((range) => [range, new Map<string, PeopleOfEvent & { group: number }>()]))
  const rangeOfDay = new Map(ranges.flatMap((range) => daysOf(range).map((day) => [day, range] as const)))
  const merged = new PeopleSample(sampledMerged)
  const others = new PeopleSample(work.anonymous === 'full' ? sampledOthers : 0)
  const ofPeople = new Set<string>()
  let groups = 0
  const newGroup = (): number => groups++

  for await (const { file, events } of sentEvents(files, both(work.rejected, work.retried), work)) {
    const isUserId = phaseOf(file.table.kind) === 'events'
    for (const sent of events) {
      const range = rangeOfDay.get(dayOf(sent))
      const ofRange = range && counted.get(range)
      if (!ofRange) continue
      const { event, uuid, distinct_id } = sent
      let group = ofRange.get(event)
      if (!group) {
        group = { rows: 0, people: 0, group: newGroup() }
        ofRange.set(event, group)
      }
      if (!isUserId) ofPeople.add(event)
      group.rows++
      const person = people.personOf(distinct_id)
      counter.addHash(group.group, person)
      const sampled = (person.isMerged ? merged : others).find(person, newGroup)
      if (!sampled) continue
      noteId(sampled, distinct_id, isUserId)
      counter.add(sampled.group, `${uuid}${distinct_id}`)
    }
    if (counter.isFull) await counter.spill()
  }

  const counts = await counter.counts()
  for (const ofRange of counted.values()) for (const group of ofRange.values()) group.people = counts[group.group] ?? 0
  return {
    counts: counted,
    ofPeople,
    sample: [...merged.people, ...others.people].map(({ ids, group }) => ({ ids, events: counts[group] ?? 0 })),
    unsureMerges: filesOfPeople.reduce((sum, { id }) => sum + (work.retried.get(id)?.size ?? 0), 0),
    people,
  }
}

/** What a retry has sent of these rows is a merge all the same, nearly always the one that the export has. */
async function sentPeople(files: readonly ExportFile[], work: CountPeopleWork): Promise<SentPeople> {
  const merges = new PackedRows()
  for await (const { events } of sentEvents(files, work.rejected, work)) {
    for (const event of events) {
      const merge = mergeOf(event)
      if (merge) addMerge(merges, merge)
    }
  }
  return new SentPeople(merges)
}

function both(some: RowsOfFiles, others: RowsOfFiles): RowsOfFiles {
  return new Map([...some].map(([file, rows]) => [file, new Set([...rows, ...(others.get(file) ?? [])])]))
}
