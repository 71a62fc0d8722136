import { allTaken, type Delivery, type OutgoingEvent, type Slice } from '@heapferry/domain'
import type { convertSlice } from './convert-slice.ts'

type Batch = ReturnType<typeof convertSlice>

interface Answered {
  slice: Slice
  batch: Batch
  delivery: Delivery
}

interface Sending {
  /** The cursor before the first slice. */
  from: number
  convert(slice: Slice): Promise<Batch>
  /** Called for slices that have events, with the cursor that they begin at, and with what to call when all have left. */
  send(events: readonly OutgoingEvent[], from: number, onLeft: () => void): Promise<Delivery>
  /** How many slices may be on their way, asked before each. */
  atOnce(): number
  /** Once it is aborted no slice is begun; `send` goes by it as well. */
  signal: AbortSignal
  /** Aborts the signal; called when the caller looks at no more slices while some are on their way. */
  giveUp(): void
}

interface OnItsWay {
  batch: Batch
  /** Its request is out. */
  left: Promise<void>
  answered: Promise<Answered>
  /** Made when another slice is to go beside it. */
  uuids?: Set<string>
}

const nothing = (): void => {}

/**
 * Sends slices, some at once, and yields them one by one in their order with what became of each: who commits them as they
 * come commits nothing before all that is in front of it.
 *
 * They leave in their order too, a slice once the one before it has left. Two events of one uuid are never on their way
 * together, so which of them PostHog keeps stays the same. Nothing is on its way any more when this ends, however it ends.
 * What fails, in sending a slice or in reading the next, is thrown after all slices before it were yielded.
 */
export async function* sendInOrder(
  slices: AsyncIterable<Slice>,
  { from, convert, send, atOnce, signal, giveUp }: Sending,
): AsyncGenerator<Answered> {
  const onTheirWay: OnItsWay[] = []

  function begin(slice: Slice, batch: Batch, cursor: number): OnItsWay {
    let onLeft = nothing
    const left = new Promise<void>((resolve) => (onLeft = () => resolve()))
    const { events } = batch
    const answered = (async () => {
      return { slice, batch, delivery: events.length > 0 ? await send(events, cursor, onLeft) : allTaken }
    })()
    // A failure is thrown when its turn has come; until then this alone listens.
    answered.then(onLeft, onLeft)
    return { batch, left, answered }
  }

  /** Until another slice may go beside those on their way or, without one, until there are none. */
  async function* answers(next?: Batch): AsyncGenerator<Answered> {
    for (let [first] = onTheirWay; first; [first] = onTheirWay) {
      const last = onTheirWay.at(-1) ?? first
      const hasRoom = next !== undefined && onTheirWay.length < atOnce() && mayGoBeside(next, onTheirWay)
      const answer = await (hasRoom ? Promise.race([first.answered, last.left]) : first.answered)
      if (answer === undefined) return
      onTheirWay.shift()
      yield answer
    }
  }

  let cursor = from
  try {
    for await (const read of converted(slices, convert)) {
      if (read.kind === 'failed') {
        yield* answers()
        throw read.error
      }
      const { slice, batch } = read
      yield* answers(batch)
      if (signal.aborted) break
      onTheirWay.push(begin(slice, batch, cursor))
      cursor = slice.next
    }
    yield* answers()
  } finally {
    if (onTheirWay.length > 0) giveUp()
    await Promise.allSettled(onTheirWay.map(({ answered }) => answered))
  }
}

type Read = { kind: 'converted'; slice: Slice; batch: Batch } | { kind: 'failed'; error: unknown }

/** What fails comes last. */
async function* converted(slices: AsyncIterable<Slice>, convert: Sending['convert']): AsyncGenerator<Read> {
  try {
    for await (const slice of slices) yield { kind: 'converted', slice, batch: await convert(slice) }
  } catch (error) {
    yield { kind: 'failed', error }
  }
}

function mayGoBeside({ events }: Batch, onTheirWay: readonly OnItsWay[]): boolean {
  return onTheirWay.every((other) => {
    const uuids = (other.uuids ??= new Set(other.batch.events.map(({ uuid }) => uuid)))
    return events.every(({ uuid }) => !uuids.has(uuid))
  })
}
