import { createHash } from 'node:crypto'
import {
  allTaken,
  type BatchOrigin,
  type ConverterFor,
  type EventSink,
  type OutgoingEvent,
  type Phase,
  type PostHogEvent,
  phases,
  type RejectedRow,
  type RejectReason,
  type RetriedRow,
  type RetryHold,
  type RetryLedger,
  type RetryObstacle,
} from '@heapferry/domain'
import { dayOf } from '../convert-slice.ts'
import { endOfRow } from '../end-of-row.ts'
import { batchesOf, type RereadRow } from './reread-rows.ts'
import type { FindSessions } from '../sessions/find-sessions.ts'
import type { RowPlace } from './row-places.ts'

/** Why a row was left as it was. */
export type LeftReason =
  | RetryObstacle
  /** Less than 48 hours old. */
  | 'too_young'

/** What has become of rows so far. */
export interface RetryCounts {
  sent: number
  skipped: number
  rejected: number
  left: Partial<Record<LeftReason, number>>
}

/** Rows that it has looked at so far. */
export function lookedAt(counts: RetryCounts): number {
  const left = Object.values(counts.left).reduce((sum, rows) => sum + rows, 0)
  return counts.sent + counts.skipped + counts.rejected + left
}

export interface RetryWork {
  hold: RetryHold
  ledger: RetryLedger
  sink: EventSink
  /** Asked for once for each phase that has rows. */
  convertersFor(phase: Phase): Promise<ConverterFor>
  findSessions: FindSessions
  /** Also sends rows that a retry which was cut off may have sent as other events. */
  anyway: boolean
  /** Told after every batch. */
  onBatch?(counts: RetryCounts): void
}

/**
 * Sends rejected rows again, identities first. Each is sent, skipped or rejected as it would have been in the run, and
 * then is no longer what it was: a row is settled once, and whoever retries next does not meet it again.
 *
 * The order is the guarantee: announce, send, settle. What dies before it has settled a batch leaves its rows rejected,
 * and the next retry sends the same events, of which PostHog keeps one; an announcement tells it where they would be
 * others.
 */
export async function retryRejected(
  rowsOf: (phase: Phase) => AsyncIterable<RereadRow>,
  work: RetryWork,
  signal: AbortSignal,
): Promise<{ kind: 'finished' | 'interrupted'; counts: RetryCounts }> {
  const counts: RetryCounts = { sent: 0, skipped: 0, rejected: 0, left: {} }
  let batchNumber = 0
  for (const phase of phases) {
    let converterFor: ConverterFor | undefined
    for await (const batch of batchesOf(rowsOf(phase))) {
      converterFor ??= await work.convertersFor(phase)
      batchNumber++
      const rows = await withSessions(batch, work.findSessions)
      const turn = await retryBatch({ rows, number: batchNumber, converterFor }, work, counts, signal)
      if (turn === 'interrupted') return { kind: 'interrupted', counts }
      work.onBatch?.(counts)
      // The only place that looks at the signal, but for the wait for PostHog: between batches, nothing is half done.
      if (signal.aborted) return { kind: 'interrupted', counts }
    }
  }
  return { kind: 'finished', counts }
}

/** All are of one table. */
async function withSessions(batch: readonly RereadRow[], findSessions: FindSessions): Promise<readonly RereadRow[]> {
  const [first] = batch
  if (!first) return batch
  const found = [
    ...(await findSessions(
      batch.map(({ row }) => row),
      first.file.table,
    )),
  ]
  return batch.map((reread, nth) => ({ ...reread, row: found[nth] ?? reread.row }))
}

async function retryBatch(
  { rows, number, converterFor }: { rows: readonly RereadRow[]; number: number; converterFor: ConverterFor },
  { hold, ledger, sink, anyway }: RetryWork,
  counts: RetryCounts,
  signal: AbortSignal,
): Promise<'settled' | 'interrupted'> {
  const prospects = rows.map((reread) => ({ reread, outcome: outcomeOf(reread, converterFor) }))
  const announced = prospects.map(({ reread: { place }, outcome }) => ({
    ...keyOf(place),
    sentAs: outcome.kind === 'event' ? outcome.sentAs : null,
  }))
  const obstacles = await ledger.announce(hold, announced, anyway)

  const ended: RetriedRow[] = []
  const outgoingRows: { reread: RereadRow; taken: RetriedRow }[] = []
  const events: OutgoingEvent[] = []
  for (const [index, { reread, outcome }] of prospects.entries()) {
    const left = obstacles[index] ?? (outcome.kind === 'too_young' ? outcome.kind : null)
    if (left !== null) counts.left[left] = (counts.left[left] ?? 0) + 1
    else if (outcome.kind === 'event') {
      outgoingRows.push({ reread, taken: outcome.taken })
      events.push(outcome.outgoing)
    } else if (outcome.kind !== 'too_young') ended.push(outcome)
  }

  const [first] = outgoingRows
  const delivery = first ? await sink.send(events, signal, originOf(first.reread)) : allTaken
  if (delivery.kind === 'interrupted') return 'interrupted'
  const refused = new Map(delivery.refused.map(({ index, detail }) => [index, detail]))
  for (const [index, { reread, taken }] of outgoingRows.entries()) {
    const detail = refused.get(index)
    ended.push(detail === undefined ? taken : rejected(reread, 'refused_by_posthog', detail))
  }
  const warned = first && { table: first.reread.file.table.name, counts: delivery.warned }
  await ledger.settle(hold, number, ended, warned)
  for (const { kind } of ended) counts[kind]++
  return 'settled'
}

/** A batch that is repeated begins with the row that it began with: nothing of it was settled. */
function originOf({ file: { table }, place: { chunk, row } }: RereadRow): BatchOrigin {
  return { table, day: null, name: `${chunk}-retried-from-row-${row}` }
}

type RereadOutcome =
  | RetriedRow
  /** `taken` is how the row ends if PostHog takes the event. */
  | { kind: 'event'; outgoing: OutgoingEvent; sentAs: string; taken: RetriedRow }
  | { kind: 'too_young' }

function outcomeOf(reread: RereadRow, converterFor: ConverterFor): RereadOutcome {
  const { file, row, place } = reread
  const end = endOfRow(row, file.table, converterFor)
  switch (end.kind) {
    case 'event': {
      const { event } = end
      const taken = { kind: 'sent', table: file.table.name, event, day: dayOf(end), ...keyOf(place) } as const
      return { kind: 'event', outgoing: end, sentAs: sentAs(end), taken }
    }
    case 'skip':
      // Its place would be forgotten with the row still to be sent.
      if (end.reason === 'held_back') return { kind: 'too_young' }
      return { kind: 'skipped', reason: end.reason, ...keyOf(place) }
    case 'reject':
      return rejected(reread, end.reason, end.detail)
  }
}

function rejected({ file, place }: RereadRow, reason: RejectReason, detail: string): RetriedRow {
  const row: RejectedRow = { ...place, file: file.id, table: file.table.name, reason, detail }
  return { kind: 'rejected', ...row }
}

/** PostHog keeps one of the events that have all of these in common. A digest, as Redis holds nothing personal. */
function sentAs({ uuid, event, distinct_id, timestamp }: Omit<PostHogEvent, 'properties'>): string {
  const digest = createHash('sha256').update([uuid, event, distinct_id, timestamp].join('\0'))
  return digest.digest('base64url').slice(0, 16)
}

function keyOf({ chunk, row }: RowPlace) {
  return { chunk, row }
}
