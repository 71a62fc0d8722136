import {
  addTallies,
  type Checkpoint,
  type ChunkLedger,
  type ChunkOutcome,
  type Claim,
  type ConverterFor,
  type DeliveryLimits,
  emptyTally,
  type EventSink,
  type ReadRow,
  type Source,
} from '@heapferry/domain'
import { convertSlice } from './convert-slice.ts'
import { endOfRow, type RowEnd } from './end-of-row.ts'
import { sendInOrder } from './send-in-order.ts'
import type { FindSessions } from './sessions/find-sessions.ts'

export interface ChunkWork {
  source: Pick<Source, 'read'>
  sink: EventSink
  ledger: ChunkLedger
  converterFor: ConverterFor
  findSessions: FindSessions
  limits: DeliveryLimits
  /** Told after every commit. */
  onCommit?(checkpoint: Checkpoint): void
}

/**
 * Moves one chunk's rows to PostHog, going on after the last commit.
 *
 * The order is the guarantee: read, convert, send, and only then commit. A crash between the last two repeats a batch
 * whose uuids PostHog already has; no order of crashes can lose one.
 */
export async function processChunk(claim: Claim, work: ChunkWork, signal: AbortSignal): Promise<ChunkOutcome> {
  // The commit is refused as well, but by then PostHog would hold events that no row stands for.
  if (!(await work.ledger.isPlanned(claim.chunk))) return { kind: 'not_planned' }
  for (;;) {
    const end = await goOn(claim, work, signal)
    // Whoever looks for work finds the run that there is now, and takes it afresh.
    if (end.kind === 'other_run') return { kind: 'interrupted' }
    if (end.kind !== 'stale') return end
  }
}

/** @returns `stale` when the ledger has forgotten what was committed: it is to be read again from where the ledger is */
async function goOn(
  claim: Claim,
  work: ChunkWork,
  signal: AbortSignal,
): Promise<ChunkOutcome | { kind: 'stale' } | { kind: 'other_run' }> {
  const { chunk, file } = claim
  let checkpoint = (await work.ledger.checkpoint(chunk)) ?? { cursor: 0, tally: emptyTally, done: false }
  if (checkpoint.done) return { kind: 'finished' }

  const endOf = (row: ReadRow): RowEnd => endOfRow(row, file.table, work.converterFor)
  const position = { cursor: checkpoint.cursor, rows: checkpoint.tally.read }
  const stop = new AbortController()
  const untilStopped = AbortSignal.any([signal, stop.signal])
  const answered = sendInOrder(work.source.read(file, chunk, position, work.limits), {
    from: position.cursor,
    async convert(slice) {
      const rows = await work.findSessions(slice.rows, file.table)
      return convertSlice(claim, { ...slice, rows }, endOf)
    },
    send(events, from, onLeft) {
      const origin = { table: file.table, day: chunk.day, name: `${chunk.id}-${from}` }
      return work.sink.send(events, untilStopped, origin, onLeft)
    },
    atOnce: () => work.limits.slicesAtOnce,
    signal: untilStopped,
    giveUp: () => stop.abort(),
  })
  for await (const { slice, batch, delivery } of answered) {
    if (delivery.kind === 'interrupted') return delivery

    for (const refusal of delivery.refused) batch.refuse(refusal.index, refusal.detail)
    const sent = { from: checkpoint.cursor, counts: batch.counts() }
    const tally = { ...batch.tally, warned: delivery.warned }
    checkpoint = { cursor: slice.next, tally: addTallies(checkpoint.tally, tally), done: false }
    const answer = await work.ledger.commit(claim, checkpoint, batch.rejected, sent)
    if (answer.kind !== 'committed') return answer
    work.onCommit?.(checkpoint)

    // What is on its way behind this slice may arrive yet, and is committed then.
    if (answer.intent.kind !== 'run') stop.abort()
  }
  if (untilStopped.aborted) return { kind: 'interrupted' }

  // The producer has counted the rows of every chunk: a chunk whose place was altered must not end as done.
  if (checkpoint.tally.read !== chunk.rows) {
    throw new Error(
      `${chunk.rows} rows were planned, ${checkpoint.tally.read} were read: the chunk is not the one that was cut`,
    )
  }
  const nothingMore = { from: checkpoint.cursor, counts: [] }
  const answer = await work.ledger.commit(claim, { ...checkpoint, done: true }, [], nothingMore)
  return answer.kind === 'committed' ? { kind: 'finished' } : answer
}
