import {
  Checkpoint,
  type Chunk,
  emptyTally,
  type ExportFile,
  phases,
  type RejectedRow,
  type Tally,
} from '@heapferry/domain'
import { type Redis, redisLedger } from '@heapferry/queue'
import { chunkOf, fileOf, runOf } from './chunk.ts'

/** A run of one table in Redis, with chunks of ten rows that have been worked on. */
export async function rejectingRun(redis: Redis, name: string, file: ExportFile = fileOf('clicks')) {
  const ledger = redisLedger(redis)
  const run = await ledger.createRun(runOf(name), 'ada')
  await ledger.addFile(run.id, file)
  return {
    ledger,
    run,
    file,
    chunk: (index: number) => chunkOf(run.id, file, index),
    /** The chunk's rows have ended as the tally says; these were rejected. */
    async end(index: number, tally: Partial<Tally>, rejected: readonly RejectedRow[] = [], done = true): Promise<void> {
      const chunk = chunkOf(run.id, file, index)
      await ledger.planChunks(run.id, [chunk])
      await redis.set(`heapferry:${run.id}-events:${chunk.id}:lock`, 'mine')
      const whole = { ...emptyTally, read: 10, ...tally }
      await ledger.commit({ chunk, file, token: 'mine' }, { cursor: 10, tally: whole, done }, rejected, {
        from: 0,
        counts: [],
      })
    },
    async complete(chunks: number, rows: number): Promise<void> {
      await ledger.planFile(run.id, file, { chunks, rows })
      for (const phase of phases) await ledger.seal(run.id, phase, phase === 'events' ? chunks : 0)
    },
    /** As after some seconds in which nobody kept the hold. */
    async forgetHold(): Promise<void> {
      await redis.hset(`heapferry-ledger:run:${run.id}:retry`, 'untilMs', 1)
    },
    async tallies(): Promise<{ table: Tally; chunks: (Tally | undefined)[] }> {
      const [table] = (await ledger.progress(run.id)).tables
      if (!table) throw new Error('the run has no table')
      const stored = await redis.hgetall(`heapferry-ledger:run:${run.id}:checkpoints`)
      const chunks = Object.keys(stored).toSorted()
      return {
        table: table.tally,
        chunks: chunks.map((id) => Checkpoint.parse(JSON.parse(stored[id] ?? '')).tally),
      }
    },
    /** By retries: `end` counts nothing by day. */
    async countedByDay(): Promise<number> {
      const events = (await ledger.sentTables(run.id)).flatMap((table) => table.events)
      return events.flatMap(({ days }) => [...days.values()]).reduce((sum, count) => sum + count, 0)
    },
    async rejected(): Promise<RejectedRow[]> {
      const rows = []
      for await (const row of ledger.rejectedRows(run.id)) rows.push(row)
      return rows.toSorted((a, b) => a.row - b.row)
    },
  }
}

export function rejectedAt(chunk: Chunk, row: number, changes: Partial<RejectedRow> = {}): RejectedRow {
  const place = { chunk: chunk.id, file: chunk.file, row, byte: row * 100 }
  return { ...place, table: 'clicks', reason: 'missing_time', detail: 'time is empty', ...changes }
}
