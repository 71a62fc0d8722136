import { type Chunk, type ChunkLedger, emptyTally, type RejectedRow, RunId, type Tally } from '@heapferry/domain'
import { describe, expect, test } from 'vitest'
import { chunkOf, fileOf } from '../support/chunk.ts'

/** A ledger that forgets nothing it said yes to and cannot be rewound. `open` gives one with runs of their own. */
export function chunkLedgerContract(
  name: string,
  open: () => Promise<{ ledger: ChunkLedger; run: RunId; hold(chunk: Chunk, token: string): Promise<void> }>,
): void {
  const file = fileOf('clicks')

  async function claimed() {
    const { ledger, run, hold } = await open()
    const chunk = chunkOf(run, file, 0)
    await hold(chunk, 'mine')
    return { ledger, hold, chunk, claim: { chunk, file, token: 'mine' } }
  }

  describe(name, () => {
    test('a chunk that nobody committed has no checkpoint', async () => {
      const { ledger, chunk } = await claimed()
      expect(await ledger.checkpoint(chunk)).toBeNull()
    })

    test('what was committed is the checkpoint', async () => {
      const { ledger, chunk, claim } = await claimed()
      const checkpoint = { cursor: 7, tally: tally(3), done: false }
      expect(await ledger.commit(claim, checkpoint, [])).toEqual({
        kind: 'committed',
        intent: { kind: 'run', by: 'heapferry', acceptedTables: [] },
      })
      expect(await ledger.checkpoint(chunk)).toEqual(checkpoint)
    })

    test('whoever lost the lock changes nothing', async () => {
      const { ledger, chunk, claim, hold } = await claimed()
      await ledger.commit(claim, { cursor: 7, tally: tally(3), done: false }, [])
      await hold(chunk, 'another')
      expect(await ledger.commit(claim, { cursor: 9, tally: tally(5), done: true }, [])).toEqual({ kind: 'lock_lost' })
      expect(await ledger.checkpoint(chunk)).toMatchObject({ cursor: 7, done: false })
    })

    test('a cursor that is not further changes nothing', async () => {
      const { ledger, chunk, claim } = await claimed()
      await ledger.commit(claim, { cursor: 7, tally: tally(3), done: false }, [])
      await ledger.commit(claim, { cursor: 7, tally: tally(99), done: false }, [])
      await ledger.commit(claim, { cursor: 4, tally: tally(1), done: false }, [])
      expect(await ledger.checkpoint(chunk)).toEqual({ cursor: 7, tally: tally(3), done: false })
    })

    test('a chunk that is done stays done', async () => {
      const { ledger, chunk, claim } = await claimed()
      await ledger.commit(claim, { cursor: 7, tally: tally(3), done: true }, [])
      await ledger.commit(claim, { cursor: 9, tally: tally(4), done: false }, [])
      expect(await ledger.checkpoint(chunk)).toEqual({ cursor: 7, tally: tally(3), done: true })
    })
  })
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
