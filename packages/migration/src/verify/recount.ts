import type { ExportFile, RowKey } from '@heapferry/domain'
import { dayOf } from '../convert-slice.ts'
import { fileOf } from '../retry/row-places.ts'
import type { Scratch } from '../scratch.ts'
import { DayMap } from './day-map.ts'
import { DistinctCounter } from './distinct-counter.ts'
import { type RereadingWork, type RowsOfFiles, sentEvents } from './sent-events.ts'

export interface RecountWork extends RereadingWork {
  /** Rows that ended otherwise than the export tells: rejected by PostHog, too large as an event, sent by a retry. */
  otherwise: AsyncIterable<RowKey>
  scratch: Scratch
}

export interface Recounted {
  /** Rows that became events, but for those that are left out. */
  rows: number
  /** Different events among them. */
  different: number
}

/**
 * Counts what the rows of files become, by event and day, for the days that are wanted.
 * @throws OperatorError when a file cannot be read, or is not the one that the run was planned with
 */
export async function recount(
  files: readonly ExportFile[],
  isWanted: (table: string, event: string, day: number) => boolean,
  work: RecountWork,
): Promise<Map<string, DayMap<Recounted>>> {
  const counter = new DistinctCounter(work.scratch)
  const groups: Recounted[] = []
  const tables = new Map<string, DayMap<Recounted & { group: number }>>()
  for await (const { file, events } of sentEvents(files, await rowsByFile(files, work.otherwise), work)) {
    const { name } = file.table
    const days = tables.get(name) ?? new DayMap<Recounted & { group: number }>()
    tables.set(name, days)
    for (const sent of events) {
      const { event, uuid, distinct_id } = sent
      const day = dayOf(sent)
      if (!isWanted(name, event, day)) continue
      let group = days.get(event, day)
      if (!group) {
        group = { rows: 0, different: 0, group: groups.length }
        groups.push(group)
        days.set(event, day, group)
      }
      group.rows++
      // With the event and the day, which the group stands for, this is what PostHog tells events apart by: the time
      // is in the uuid.
      counter.add(group.group, `${uuid}${distinct_id}`)
    }
    if (counter.isFull) await counter.spill()
  }
  const counts = await counter.counts()
  for (const [group, recounted] of groups.entries()) recounted.different = counts[group] ?? 0
  return tables
}

/** The numbers of rows that a ledger lists, by the files of these that they stand in. */
export async function rowsByFile(files: readonly ExportFile[], rows: AsyncIterable<RowKey>): Promise<RowsOfFiles> {
  const byFile = new Map(files.map(({ id }) => [id, new Set<number>()]))
  for await (const { chunk, row } of rows) byFile.get(fileOf(chunk))?.add(row)
  return byFile
}
