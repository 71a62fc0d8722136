import { type Run, type TimelineEntry, visible } from '@heapferry/domain'
import { hasCompleted, type RunStatus } from '../run-state.ts'
import { counted } from '../wording.ts'
import type { Report } from './report.ts'

/** What a run's timeline tells of the warehouse that it was unloaded from; null where it was none. */
export function warehouseOf(run: Run, status: RunStatus, timeline: readonly TimelineEntry[]): Report['warehouse'] {
  if (!timeline.some(({ kind }) => kind === 'unloading')) return null
  const told = timeline.filter((entry) => entry.kind === 'unloaded')
  // A table that had to be read anew is told again.
  const byTable = new Map(told.flatMap((entry) => (entry.unloaded ? [[entry.table, entry] as const] : [])))
  const tables = [...byTable.values()].flatMap(({ table, rows, notice, unloaded }) => {
    if (!unloaded) return []
    const { statement, sinceMs, untilMs, files, bytes } = unloaded
    return {
      table,
      statement,
      first_snapshot_at: new Date(sinceMs).toISOString(),
      last_snapshot_at: new Date(untilMs).toISOString(),
      files,
      rows,
      bytes,
      notice: notice ?? null,
    }
  })
  return {
    address: run.source,
    stage: run.root,
    tables,
    rows: tables.reduce((sum, { rows }) => sum + rows, 0),
    bytes: tables.reduce((sum, { bytes }) => sum + bytes, 0),
    notices: told.flatMap(({ unloaded, notice }) => (unloaded || notice === undefined ? [] : [notice])),
    deletion: deletionText(run, status, timeline),
  }
}

function deletionText({ id }: Run, status: RunStatus, timeline: readonly TimelineEntry[]): string {
  const cleaned = timeline.findLast((entry) => entry.kind === 'cleaned')
  if (cleaned)
    return `What heapferry kept of it was deleted by ${visible(cleaned.by)} at ${new Date(cleaned.atMs).toISOString()}.`
  const command = `heapferry clean ${id}`
  if (status.state === 'cancelled') return `It may be deleted: ${command}`
  if (!hasCompleted(status)) return `Not before the run is completed or cancelled, as workers read it: ${command}`
  const { rejected, skipped_by_reason } = status.totals
  const left = rejected + (skipped_by_reason.held_back ?? 0)
  return left === 0
    ? `It may be deleted when nobody wants heapferry verify ${id} --offline any more: ${command}`
    : `When the ${counted(left, 'row')} that ${left === 1 ? 'was' : 'were'} rejected or held back ${left === 1 ? 'is' : 'are'} retried, or not wanted, and nobody wants heapferry verify ${id} --offline any more: ${command}`
}
