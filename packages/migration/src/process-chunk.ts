import {
  addTallies,
  type Checkpoint,
  type ChunkLedger,
  type ChunkReader,
  type Claim,
  type Columns,
  type Conversion,
  emptyTally,
  type EventSink,
  type Place,
  type RejectedRow,
  type RejectReason,
  type Slice,
  type SliceLimits,
  type SkipReason,
  type Table,
  type Tally,
  type Values,
} from '@heapferry/domain'
import { outgoing } from './outgoing.ts'

/** How a worker's turn at a chunk ended. */
export type ChunkOutcome =
  /** Every row has ended: the chunk is done. */
  | { kind: 'finished' }
  /** Stopped between two batches: whoever takes the chunk next goes on from the last commit. */
  | { kind: 'interrupted' }
  /** Another worker holds the chunk. */
  | { kind: 'lock_lost' }

export interface ChunkWork {
  reader: ChunkReader
  sink: EventSink
  ledger: ChunkLedger
  /** Compiled once per table and columns, then called for every row. */
  converterFor(table: Table, columns: Columns): (values: Values) => Conversion
  limits: SliceLimits
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
  const { chunk, file } = claim
  let checkpoint = (await work.ledger.checkpoint(chunk)) ?? { cursor: 0, tally: emptyTally, done: false }
  if (checkpoint.done) return { kind: 'finished' }

  const position = { cursor: checkpoint.cursor, rows: checkpoint.tally.read }
  for await (const slice of work.reader.read(file, chunk, position, work.limits)) {
    const batch = convertSlice(claim, slice, work)
    const origin = { table: file.table, day: chunk.day, name: `${chunk.id}-${checkpoint.cursor}` }
    const delivery = batch.events.length > 0 ? await work.sink.send(batch.events, signal, origin) : nothingToSend
    if (delivery.kind === 'interrupted') return delivery

    for (const refusal of delivery.refused) batch.refuse(refusal.index, refusal.detail)
    checkpoint = { cursor: slice.next, tally: addTallies(checkpoint.tally, batch.tally), done: false }
    const answer = await work.ledger.commit(claim, checkpoint, batch.rejected)
    if (answer.kind === 'lock_lost') return answer
    work.onCommit?.(checkpoint)

    // The only place that looks at the signal and at what is wanted: between batches, nothing is half done.
    if (signal.aborted || answer.intent.kind !== 'run') return { kind: 'interrupted' }
  }

  // The producer has counted the rows of every chunk: a chunk whose place was altered must not end as done.
  if (checkpoint.tally.read !== chunk.rows) {
    throw new Error(
      `${chunk.rows} rows were planned, ${checkpoint.tally.read} were read: the chunk is not the one that was cut`,
    )
  }
  const answer = await work.ledger.commit(claim, { ...checkpoint, done: true }, [])
  return answer.kind === 'lock_lost' ? answer : { kind: 'finished' }
}

const nothingToSend = { kind: 'acknowledged', refused: [] } as const

/** A slice's events, and how all its rows end if PostHog takes every event. */
function convertSlice(claim: Claim, slice: Slice, work: Pick<ChunkWork, 'converterFor'>) {
  const events = []
  const places: Place[] = []
  const rejected: RejectedRow[] = []
  const tally: Tally = { read: 0, sent: 0, skipped: {}, rejected: {} }

  const reject = (place: Place, reason: RejectReason, detail: string): void => {
    const { chunk, file } = claim
    rejected.push({ chunk: chunk.id, file: file.id, table: file.table.name, ...place, reason, detail })
    tally.rejected[reason] = (tally.rejected[reason] ?? 0) + 1
  }
  const skip = (reason: SkipReason): void => {
    tally.skipped[reason] = (tally.skipped[reason] ?? 0) + 1
  }

  for (const row of slice.rows) {
    tally.read++
    if (row.kind === 'unreadable') {
      reject(row.place, row.reason, row.detail)
      continue
    }
    const conversion = work.converterFor(claim.file.table, row.columns)(row.values)
    switch (conversion.kind) {
      case 'event': {
        const sized = outgoing(conversion.event)
        if (sized.kind === 'too_large') {
          reject(row.place, 'event_too_large', `the event would take ${sized.bytes} bytes of PostHog's 1 MB`)
          break
        }
        events.push(sized)
        places.push(row.place)
        tally.sent++
        break
      }
      case 'skip':
        skip(conversion.reason)
        break
      case 'reject':
        reject(row.place, conversion.reason, conversion.detail)
        break
    }
  }

  return {
    events,
    rejected,
    tally,
    refuse(index: number, detail: string): void {
      const place = places[index]
      if (!place) throw new Error(`PostHog refused event ${index} of ${events.length}`)
      tally.sent--
      reject(place, 'refused_by_posthog', detail)
    },
  }
}
