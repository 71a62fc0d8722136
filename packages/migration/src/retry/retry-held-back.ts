import {
  allTaken,
  type ChunkId,
  chunkIdOf,
  type ConverterFor,
  type EventSink,
  type EndedRows,
  type ExportFile,
  type FileId,
  type HeldBack,
  type Piece,
  type HeldBackLedger,
  type ReadRow,
  type RetryHold,
  type Run,
  type SliceLimits,
  type Source,
} from '@heapferry/domain'
import { convertSlice } from '../convert-slice.ts'
import { conversionOf, endOfRow, type RowEnd } from '../end-of-row.ts'
import type { FindSessions } from '../sessions/find-sessions.ts'
import { fileOf, indexOf } from './row-places.ts'
import type { RetryCounts } from './retry-rejected.ts'

export interface HeldBackWork {
  hold: RetryHold
  ledger: HeldBackLedger
  sink: EventSink
  source: Pick<Source, 'cut' | 'read'>
  limits: SliceLimits
  /** What becomes of rows in a run that began at a moment. */
  convertersAt(startedAtMs: number): ConverterFor
  findSessions: FindSessions
  nowMs: number
  /** Told after every batch. */
  onBatch?(counts: RetryCounts): void
}

/**
 * Sends rows that were younger than 48 hours when the run began and are older now. Their chunks are read again from the
 * export; how far a chunk is, is stored with what became of its rows, so that each is sent and counted once however often
 * this is cut off. Rows that are too young still are left for another time.
 */
export async function retryHeldBack(
  run: Run,
  files: readonly ExportFile[],
  work: HeldBackWork,
  signal: AbortSignal,
): Promise<{ kind: 'finished' | 'interrupted'; counts: RetryCounts }> {
  const counts: RetryCounts = { sent: 0, skipped: 0, rejected: 0, left: {} }
  const chunks = await heldBackByFile(run, work.ledger)
  for (const file of files) {
    const wanted = chunks.get(file.id)
    if (!wanted) continue
    for await (const chunk of chunksOf(run, file, wanted, work)) {
      const turn = await retryChunk({ run, chunk, file, heldBack: wanted.get(chunk.id) ?? null }, work, counts, signal)
      if (turn === 'interrupted') return { kind: 'interrupted', counts }
    }
  }
  return { kind: 'finished', counts }
}

async function heldBackByFile(run: Run, ledger: HeldBackWork['ledger']) {
  const byFile = new Map<FileId, Map<ChunkId, HeldBack | null>>()
  for await (const { chunk, heldBack } of ledger.heldBackChunks(run.id)) {
    const file = fileOf(chunk)
    byFile.set(file, (byFile.get(file) ?? new Map<ChunkId, HeldBack | null>()).set(chunk, heldBack))
  }
  return byFile
}

/** What is known of a chunk without its job. */
type HeldBackChunk = Piece & { id: ChunkId }

/** The ledger has no ranges: the file is cut again as the producer did, up to the last chunk that is wanted. */
async function* chunksOf(
  run: Run,
  file: ExportFile,
  wanted: ReadonlyMap<ChunkId, unknown>,
  { source }: HeldBackWork,
): AsyncGenerator<HeldBackChunk> {
  // One chunk, which would be unpacked only to be counted.
  if (file.compression !== 'none') {
    yield { id: chunkIdOf(file.id, 0), range: { kind: 'whole' }, firstRow: 1 }
    return
  }
  const last = Math.max(...[...wanted.keys()].map(indexOf))
  let index = 0
  for await (const { range, firstRow } of source.cut(file, run.chunkBytes)) {
    const id = chunkIdOf(file.id, index)
    if (wanted.has(id)) yield { id, range, firstRow }
    if (index === last) return
    index++
  }
}

/** A pass that was cut off goes on as of the moment that it began with; another one follows it as of now. */
async function retryChunk(
  { run, chunk, file, heldBack }: { run: Run; chunk: HeldBackChunk; file: ExportFile; heldBack: HeldBack | null },
  work: HeldBackWork,
  counts: RetryCounts,
  signal: AbortSignal,
): Promise<'finished' | 'interrupted'> {
  let stored = heldBack
  const passes = stored?.pass ? [stored.pass, begun(work.nowMs)] : [begun(work.nowMs)]
  for (const { toMs, cursor, rows } of passes) {
    const sinceMs = stored?.sinceMs ?? run.createdAtMs
    const endOf = endAsOf(work.convertersAt, file, sinceMs, toMs)
    let rowsRead = rows
    for await (const slice of work.source.read(file, chunk, { cursor, rows }, work.limits)) {
      const found = await work.findSessions(slice.rows, file.table)
      const batch = convertSlice({ chunk, file }, { ...slice, rows: found }, endOf)
      const name = `${chunk.id}-held-back-since-${sinceMs}-${stored?.pass?.cursor ?? 0}`
      const origin = { table: file.table, day: null, name }
      const delivery = batch.events.length > 0 ? await work.sink.send(batch.events, signal, origin) : allTaken
      if (delivery.kind === 'interrupted') return 'interrupted'
      for (const { index, detail } of delivery.refused) batch.refuse(index, detail)
      const { tally, rejected } = batch
      rowsRead += tally.read
      await store(
        { sinceMs, pass: { toMs, cursor: slice.next, rows: rowsRead } },
        {
          sent: batch.counts(),
          rejected,
          warned: delivery.warned,
        },
      )
      counts.sent += tally.sent
      counts.rejected += rejected.length
      if (toMs === work.nowMs) counts.left.too_young = (counts.left.too_young ?? 0) + (tally.skipped.held_back ?? 0)
      work.onBatch?.(counts)
      // The only place that looks at the signal, but for the wait for PostHog: between batches, nothing is half done.
      if (signal.aborted) return 'interrupted'
    }
    await store({ sinceMs: toMs, pass: null }, { sent: [], rejected: [], warned: {} })
  }
  return 'finished'

  async function store(is: HeldBack, ended: EndedRows): Promise<void> {
    await work.ledger.settleHeldBack(work.hold, { id: chunk.id, table: file.table.name }, { was: stored, is }, ended)
    stored = is
  }
}

function begun(toMs: number): NonNullable<HeldBack['pass']> {
  return { toMs, cursor: 0, rows: 0 }
}

/** How a row ends as of `toMs` that was held back as of `sinceMs`; null of all others. */
function endAsOf(
  convertersAt: HeldBackWork['convertersAt'],
  { table }: ExportFile,
  sinceMs: number,
  toMs: number,
): (row: ReadRow) => RowEnd | null {
  const before = convertersAt(sinceMs)
  const now = convertersAt(toMs)
  return (row) => {
    const was = conversionOf(row, table, before)
    return was.kind === 'skip' && was.reason === 'held_back' ? endOfRow(row, table, now) : null
  }
}
