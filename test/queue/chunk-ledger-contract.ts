import {
  type Chunk,
  type ChunkLedger,
  type Claim,
  emptyTally,
  type RejectedRow,
  RunId,
  type SentSlice,
  type Tally,
} from '@heapferry/domain'
import { describe, expect, test } from 'vitest'
import { chunkOf, fileOf } from '../support/chunk.ts'

/** A ledger that forgets nothing it said yes to and cannot be rewound. `open` gives one with runs of their own. */
export function chunkLedgerContract(
  name: string,
  open: () => Promise<{
    ledger: ChunkLedger
    run: RunId
    hold(chunk: Chunk, token: string): Promise<void>
    /** What the ledger counted of the table `clicks`, as `<event> <day>` → events. */
    sent(): Promise<Record<string, number>>
  }>,
): void {
  const file = fileOf('clicks')

  async function claimed() {
    const { ledger, run, hold, sent } = await open()
    const chunk = chunkOf(run, file, 0)
    await hold(chunk, 'mine')
    return { ledger, hold, sent, chunk, claim: { chunk, file, token: 'mine' } }
  }

  describe(name, () => {
    test('a chunk that nobody committed has no checkpoint', async () => {
      const { ledger, chunk } = await claimed()
      expect(await ledger.checkpoint(chunk)).toBeNull()
    })

    test('what was committed is the checkpoint', async () => {
      const { ledger, chunk, claim } = await claimed()
      const checkpoint = { cursor: 7, tally: tally(3), done: false }
      expect(await ledger.commit(claim, checkpoint, [], nothing)).toEqual({
        kind: 'committed',
        intent: { kind: 'run', by: 'heapferry', acceptedTables: [] },
      })
      expect(await ledger.checkpoint(chunk)).toEqual(checkpoint)
    })

    test('whoever lost the lock changes nothing', async () => {
      const { ledger, chunk, claim, hold } = await claimed()
      await ledger.commit(claim, { cursor: 7, tally: tally(3), done: false }, [], nothing)
      await hold(chunk, 'another')
      expect(await ledger.commit(claim, { cursor: 9, tally: tally(5), done: true }, [], nothing)).toEqual({
        kind: 'lock_lost',
      })
      expect(await ledger.checkpoint(chunk)).toMatchObject({ cursor: 7, done: false })
    })

    test('a cursor that is not further changes nothing', async () => {
      const { ledger, chunk, claim } = await claimed()
      await ledger.commit(claim, { cursor: 7, tally: tally(3), done: false }, [], nothing)
      await ledger.commit(claim, { cursor: 7, tally: tally(99), done: false }, [], nothing)
      await ledger.commit(claim, { cursor: 4, tally: tally(1), done: false }, [], nothing)
      expect(await ledger.checkpoint(chunk)).toEqual({ cursor: 7, tally: tally(3), done: false })
    })

    test('a chunk that is done stays done', async () => {
      const { ledger, chunk, claim } = await claimed()
      await ledger.commit(claim, { cursor: 7, tally: tally(3), done: true }, [], nothing)
      await ledger.commit(claim, { cursor: 9, tally: tally(4), done: false }, [], nothing)
      expect(await ledger.checkpoint(chunk)).toEqual({ cursor: 7, tally: tally(3), done: true })
    })

    test('what slices sent adds up by event and day, over the end of a block of days too', async () => {
      const { ledger, claim, sent } = await claimed()
      await commit(ledger, claim, 7, { from: 0, counts: [dayCount('click', 19_583, 2), dayCount('view', 19_584, 1)] })
      await commit(ledger, claim, 9, { from: 7, counts: [dayCount('click', 19_583, 3), dayCount('click', 19_584, 4)] })
      expect(await sent()).toEqual({ 'click 19583': 5, 'click 19584': 4, 'view 19584': 1 })
    })

    test('a slice that is committed again is not counted again', async () => {
      const { ledger, claim, sent } = await claimed()
      const slice = { from: 0, counts: [dayCount('click', 19_000, 2)] }
      await commit(ledger, claim, 7, slice)
      await commit(ledger, claim, 7, slice)
      await commit(ledger, claim, 4, slice)
      expect(await sent()).toEqual({ 'click 19000': 2 })
    })

    test('a slice that does not start where the checkpoint ends is stale and changes nothing: it would hide that others are missing', async () => {
      const { ledger, claim, sent, chunk } = await claimed()
      const stale = { kind: 'stale' }
      expect(await commit(ledger, claim, 9, { from: 7, counts: [dayCount('click', 19_000, 2)] })).toEqual(stale)
      expect(await ledger.checkpoint(chunk)).toBeNull()
      await commit(ledger, claim, 7, { from: 0, counts: [dayCount('click', 19_000, 1)] })
      expect(await commit(ledger, claim, 12, { from: 9, counts: [dayCount('click', 19_000, 4)] })).toEqual(stale)
      const done = { cursor: 12, tally: tally(9), done: true }
      expect(await ledger.commit(claim, done, [], { from: 12, counts: [] })).toEqual(stale)
      expect(await sent()).toEqual({ 'click 19000': 1 })
      expect(await ledger.checkpoint(chunk)).toEqual({ cursor: 7, tally: tally(1), done: false })
    })

    test('whoever lost the lock counts nothing', async () => {
      const { ledger, claim, sent, hold, chunk } = await claimed()
      await hold(chunk, 'another')
      await commit(ledger, claim, 7, { from: 0, counts: [dayCount('click', 19_000, 2)] })
      expect(await sent()).toEqual({})
    })
  })
}

const nothing: SentSlice = { from: 0, counts: [] }

function commit(ledger: ChunkLedger, claim: Claim, cursor: number, sent: SentSlice) {
  const count = sent.counts.reduce((sum, one) => sum + one.count, 0)
  return ledger.commit(claim, { cursor, tally: tally(count), done: false }, [], sent)
}

function dayCount(event: string, day: number, count: number) {
  return { event, day, count }
}

export function tally(sent: number, changes: Partial<Tally> = {}): Tally {
  return { ...emptyTally, read: sent, sent, ...changes }
}

export function rejectedRow(chunk: Chunk, byte: number): RejectedRow {
  return {
    chunk: chunk.id,
    file: chunk.file,
    table: 'clicks',
    row: 1,
    byte,
    reason: 'missing_time',
    detail: 'time is empty',
  }
}
