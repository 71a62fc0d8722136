import { defaultMapping, type ExportFile, type Mapping, type RejectedRow, type RetriedRow } from '@heapferry/domain'
import { assertSamePeople, noIdentities, retryRows, type RetryRowsWork } from '@heapferry/migration'
import { expect, test } from 'vitest'
import { chunkOf, columns, fileOf, runOf } from '../support/chunk.ts'

const run = runOf('mine')
const clicks = fileOf('clicks')
const never = new AbortController().signal

test('rejected rows are read again at their places, and sent as the new mapping has them', async () => {
  const bench = workbench([2, 3])
  const mapping: Mapping = { ...defaultMapping, tables: { clicks: { event: 'tap' } } }
  const { kind, counts, corrected } = await bench.retry(mapping)
  expect({ kind, counts, corrected }).toEqual({
    kind: 'finished',
    counts: { sent: 2, skipped: 0, rejected: 0, left: {} },
    corrected: null,
  })
  expect(bench.settled).toMatchObject([
    { kind: 'sent', row: 2, event: 'tap' },
    { kind: 'sent', row: 3, event: 'tap' },
  ])
  expect(bench.begun).toBe(2)
})

test('rows that the new mapping has in another table, or whose file is gone or has changed, are not sent', async () => {
  const moved = workbench([2], [{ ...clicks, table: { kind: 'event', name: 'taps' } }])
  await expect(moved.retry(defaultMapping)).rejects.toThrow('clicks.csv is not of the table clicks any more')
  const gone = workbench([2], [])
  await expect(gone.retry(defaultMapping)).rejects.toThrow('clicks.csv belongs to this run and is gone')
  const changed = workbench([2], [{ ...clicks, version: { ...clicks.version, sizeBytes: 1 } }])
  await expect(changed.retry(defaultMapping)).rejects.toThrow('clicks.csv has changed')
  expect([...moved.settled, ...gone.settled, ...changed.settled]).toEqual([])
})

test('a mapping that decides otherwise who is who is refused', () => {
  const mapping: Mapping = { ...defaultMapping, anonymous: 'personless' }
  const wish = { kind: 'from_export', filter: {} } as const
  expect(() => assertSamePeople(run, { ...wish, mapping })).toThrow('the mapping of this retry has not')
  expect(() => assertSamePeople(run, { ...wish, mapping: { ...defaultMapping, tables: {} } })).not.toThrow()
})

/** A run whose rows of these numbers were rejected. @param now what its files are found to be */
function workbench(rows: readonly number[], now: readonly ExportFile[] = [clicks]) {
  const { id: chunk } = chunkOf(run.id, clicks, 0)
  const bench = {
    begun: 0,
    settled: [] as RetriedRow[],
    retry: (mapping: Mapping) => retryRows(run, { kind: 'from_export', filter: {}, mapping }, work, never),
  }
  const work: RetryRowsWork = {
    hold: { run: run.id, token: 'mine' },
    ledger: {
      files: () => Promise.resolve([clicks]),
      async *rejectedRows(): AsyncGenerator<RejectedRow> {
        for (const row of rows) {
          const place = { chunk, file: clicks.id, table: 'clicks', row, byte: row * 10 }
          yield await Promise.resolve({ ...place, reason: 'event_name_too_long', detail: 'it is' })
        }
      },
      announce: (_hold, announced) => Promise.resolve(announced.map(() => null)),
      settle: (_hold, _batch, ended) => Promise.resolve(void bench.settled.push(...ended)),
      progress: unasked,
      retriedRows: unasked,
      heldBackChunks: unasked,
      settleHeldBack: unasked,
    },
    source: {
      async *rowsAt(_file, places) {
        for (const { row, byte } of places) {
          const values = [String(row), '7', '2023-01-01 00:00:00']
          yield await Promise.resolve({
            row: { kind: 'row', place: { row, byte }, columns, values } as const,
            text: null,
          })
        }
      },
      cut: unasked,
      read: unasked,
      rowOfText: unasked,
    },
    sink: { send: () => Promise.resolve({ kind: 'acknowledged', refused: [], warned: {} }) },
    limits: { rows: 10, bytes: 1000 },
    anyway: false,
    nowMs: run.createdAtMs,
    identities: () => Promise.resolve(noIdentities),
    sessions: () => Promise.resolve(null),
    hashSaltFor: () => null,
    inspect: () => Promise.resolve(now),
    openCorrected: unasked,
    onBegin: (count) => (bench.begun = count),
  }
  return bench
}

function unasked(): never {
  throw new Error('nobody should ask for this')
}
