import type { Columns, Conversion, ExportFile, FileId, RejectedRow, Slice, Table, Values } from '@heapferry/domain'
import { DayMap } from './day-map.ts'
import { DistinctCounter, type Scratch } from './distinct-counter.ts'

export interface RecountWork {
  /** All rows of a file. */
  read(file: ExportFile): AsyncIterable<Slice>
  converterFor(table: Table, columns: Columns): (values: Values) => Conversion
  rejectedRows: AsyncIterable<RejectedRow>
  scratch: Scratch
  signal: AbortSignal
  onRows?(table: string, rows: number): void
}

export interface Recounted {
  /** Rows that became events, but for those that the ledger says were rejected. */
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
  const rejected = await rejectedByFile(files, work.rejectedRows)
  const counter = new DistinctCounter(work.scratch)
  const groups: Recounted[] = []
  const tables = new Map<string, DayMap<Recounted & { group: number }>>()
  for (const file of files) {
    const { name } = file.table
    const days = tables.get(name) ?? new DayMap<Recounted & { group: number }>()
    tables.set(name, days)
    const out = rejected.get(file.id)
    let seen = 0
    for await (const { rows } of work.read(file)) {
      work.signal.throwIfAborted()
      for (const row of rows) {
        seen++
        if (row.kind !== 'row' || out?.has(row.place.row)) continue
        const conversion = work.converterFor(file.table, row.columns)(row.values)
        if (conversion.kind !== 'event') continue
        const { event, timestamp, uuid, distinct_id } = conversion.event
        const day = Math.floor(Date.parse(timestamp) / dayMs)
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
      work.onRows?.(name, seen)
    }
  }
  const counts = await counter.counts()
  for (const [group, recounted] of groups.entries()) recounted.different = counts[group] ?? 0
  return tables
}

const dayMs = 86_400_000

/** The ledger knows rows that were rejected for more than what they say: too large as an event, refused by PostHog. */
async function rejectedByFile(
  files: readonly ExportFile[],
  rejectedRows: AsyncIterable<RejectedRow>,
): Promise<Map<FileId, Set<number>>> {
  const byFile = new Map(files.map(({ id }) => [id, new Set<number>()]))
  for await (const { file, row } of rejectedRows) byFile.get(file)?.add(row)
  return byFile
}
