import type { FileId, RejectedRow, RejectReason } from '@heapferry/domain'

/** Rejected rows of one table that have one fault. */
export interface RejectedGroup {
  table: string
  reason: RejectReason
  /** The detail with `…` for what differs from row to row: ids, numbers, what a cell holds. */
  shape: string
  rows: number
  first: { file: string; row: number; byte: number }
  /** The whole detail of that row. */
  example: string
}

// PostHog's own words can be anything; all that go beyond so many shapes of a table and reason are one.
const maxShapes = 100
const otherShapes = 'other details'

/**
 * Puts rows together whose table, reason and shape are the same; the largest group comes first. Memory grows with the
 * groups, not with the rows.
 */
export async function groupRejected(
  rows: AsyncIterable<RejectedRow>,
  pathOf: (file: FileId) => string,
): Promise<RejectedGroup[]> {
  const groups = new Map<string, RejectedGroup>()
  const shapes = new Map<string, number>()
  for await (const { table, reason, detail, file, row, byte } of rows) {
    const kind = `${table}\0${reason}`
    const known = shapes.get(kind) ?? 0
    const own = shapeOf(reason, detail)
    const shape = groups.has(`${kind}\0${own}`) || known < maxShapes ? own : otherShapes
    const key = `${kind}\0${shape}`
    const first = { file: pathOf(file), row, byte }
    const group = groups.get(key)
    if (!group) {
      groups.set(key, { table, reason, shape, rows: 1, first, example: detail })
      shapes.set(kind, known + 1)
      continue
    }
    group.rows++
    if (isBefore(first, group.first)) Object.assign(group, { first, example: detail })
  }
  return [...groups.values()].toSorted((a, b) => b.rows - a.rows || (a.table < b.table ? -1 : 1))
}

function isBefore(a: RejectedGroup['first'], b: RejectedGroup['first']): boolean {
  return a.file === b.file ? a.row < b.row : a.file < b.file
}

/** Their details end in what the cell holds. */
const showCell: ReadonlySet<RejectReason> = new Set(['damaged_id', 'unparsable_time', 'time_out_of_range'])

const quoted = /"[^"]*"|“[^”]*”|`[^`]*`|(?<![\p{L}\d])'[^']*'(?![\p{L}\d])/gu
const address = /\S+@\S+/g
const uuid = /\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/gi
// But for the status that an answer of PostHog begins with.
const number = /(?!^\d{3}: )(?<![\p{L}\d_])[-+]?\d+(?:[.,:]\d+)*(?:e[+-]?\d+)?(?![\p{L}_])/giu
const list = /…(?:, …)+/g

/** A detail without what differs from row to row. */
export function shapeOf(reason: RejectReason, detail: string): string {
  if (showCell.has(reason)) return detail.replace(/: .*$/s, ': …')
  return detail.replace(quoted, '…').replace(address, '…').replace(uuid, '…').replace(number, '…').replace(list, '…, …')
}
