import {
  type AnnouncedRow,
  Checkpoint,
  ChunkId,
  type EndedRows,
  HeldBack,
  OperatorError,
  RejectedRow,
  type RetriedRow,
  type RetryHold,
  type RetryLedger,
  type RetryObstacle,
  RetryOutcome,
  type RowKey,
  type RunId,
  type Tally,
} from '@heapferry/domain'
import type { Redis } from 'ioredis'
import { rowField, rowOfField, runKeys } from './keys.ts'
import {
  announceScript,
  endRetryScript,
  keepRetryScript,
  settleHeldBackScript,
  settleScript,
  takeRetryScript,
} from './scripts.ts'
import { sentFields } from './sent-fields.ts'

// Long enough for a Redis that restarts; after a kill -9 the next retry waits no longer than that.
const holdMs = 10_000

const obstacles: readonly (RetryObstacle | null)[] = [null, 'not_rejected', 'chunk_not_done', 'sent_otherwise']

/** What the ledger in Redis knows about rejected and held back rows, and how they are sent after all. */
export class RedisRetryLedger implements RetryLedger {
  readonly #redis: Redis

  constructor(redis: Redis) {
    this.#redis = redis
  }

  async takeRetry({ run, token }: RetryHold, by: string): Promise<{ by: string; sinceMs: number } | null> {
    const keys = runKeys(run)
    const held = await this.#redis.eval(takeRetryScript, 2, keys.retry, keys.timeline, token, by, holdMs)
    return Array.isArray(held) ? { by: String(held[0]), sinceMs: Number(held[1]) } : null
  }

  async keepRetry({ run, token }: RetryHold): Promise<void> {
    assertHeld(await this.#redis.eval(keepRetryScript, 1, runKeys(run).retry, token, holdMs))
  }

  async endRetry({ run, token }: RetryHold): Promise<RetryOutcome> {
    const keys = runKeys(run)
    const outcome = await this.#redis.eval(endRetryScript, 2, keys.retry, keys.timeline, token)
    assertHeld(outcome)
    return RetryOutcome.parse(JSON.parse(String(outcome)))
  }

  async *rejectedRows(run: RunId): AsyncIterable<RejectedRow> {
    const seen = new SeenRows()
    for await (const pairs of this.#scan(runKeys(run).rejected)) {
      for (const [field, json] of pairs) {
        if (seen.add(field)) yield RejectedRow.parse(JSON.parse(json))
      }
    }
  }

  async rejectedAt(run: RunId, rows: readonly RowKey[]): Promise<(RejectedRow | null)[]> {
    if (rows.length === 0) return []
    const stored = await this.#redis.hmget(runKeys(run).rejected, ...rows.map(rowField))
    return stored.map((json) => (json === null ? null : RejectedRow.parse(JSON.parse(json))))
  }

  async *retriedRows(run: RunId): AsyncIterable<RowKey> {
    const seen = new SeenRows()
    let cursor = '0'
    do {
      const [next, fields] = await this.#redis.sscan(runKeys(run).retried, cursor, 'COUNT', scanRows)
      for (const field of fields) if (seen.add(field)) yield rowOfField(field)
      cursor = next
    } while (cursor !== '0')
  }

  async announce(
    { run, token }: RetryHold,
    rows: readonly AnnouncedRow[],
    anyway: boolean,
  ): Promise<(RetryObstacle | null)[]> {
    const { retry, rejected, checkpoints, sending } = runKeys(run)
    const answers = await this.#redis.eval(
      announceScript,
      4,
      retry,
      rejected,
      checkpoints,
      sending,
      token,
      anyway ? 1 : 0,
      ...rows.flatMap((row) => [rowField(row), row.chunk, row.sentAs ?? '']),
    )
    assertHeld(answers)
    if (!Array.isArray(answers)) throw new Error('Redis did not answer for each row')
    return answers.map((answer) => obstacles[Number(answer)] ?? null)
  }

  async settle(
    { run, token }: RetryHold,
    batch: number,
    rows: readonly RetriedRow[],
    warned?: { table: string; counts: Tally['warned'] },
  ): Promise<void> {
    const { retry, rejected, checkpoints, totals, retried, sending, run: record, sent } = runKeys(run)
    const answer = await this.#redis.eval(
      settleScript,
      8,
      retry,
      rejected,
      checkpoints,
      totals,
      retried,
      sending,
      record,
      sent,
      token,
      batch,
      warned ? warnedTotals(warned.table, warned.counts) : '{}',
      ...rows.flatMap((row) => [rowField(row), row.chunk, ...endOf(row)]),
    )
    assertHeld(answer)
  }

  async *heldBackChunks(run: RunId): AsyncIterable<{ chunk: ChunkId; heldBack: HeldBack | null }> {
    const { checkpoints, heldBack } = runKeys(run)
    const seen = new Set<string>()
    for await (const pairs of this.#scan(checkpoints)) {
      const chunks = pairs.filter(([chunk, json]) => !seen.has(chunk) && hasHeldBack(json)).map(([chunk]) => chunk)
      if (chunks.length === 0) continue
      const stored = await this.#redis.hmget(heldBack, ...chunks)
      for (const [index, chunk] of chunks.entries()) {
        seen.add(chunk)
        const json = stored[index] ?? null
        yield { chunk: ChunkId.parse(chunk), heldBack: json === null ? null : HeldBack.parse(JSON.parse(json)) }
      }
    }
  }

  async settleHeldBack(
    { run, token }: RetryHold,
    chunk: { id: ChunkId; table: string },
    was: HeldBack | null,
    is: HeldBack,
    ended: EndedRows,
  ): Promise<void> {
    const { retry, rejected, checkpoints, totals, heldBack, run: record, sent } = runKeys(run)
    const answer = await this.#redis.eval(
      settleHeldBackScript,
      7,
      retry,
      rejected,
      checkpoints,
      totals,
      heldBack,
      record,
      sent,
      token,
      chunk.id,
      chunk.table,
      was === null ? '' : asStored(was),
      asStored(is),
      ended.sent.reduce((sum, { count }) => sum + count, 0),
      JSON.stringify(sentFields(chunk.table, ended.sent)),
      warnedTotals(chunk.table, ended.warned),
      ...ended.rejected.flatMap((row) => [rowField(row), row.reason, JSON.stringify(row)]),
    )
    assertHeld(answer)
    if (answer === -2) throw new Error(`the held back rows of ${chunk.id} are not where they were`)
  }

  /** Fields and values of a hash, however large it is; one may come twice while the hash grows or shrinks. */
  async *#scan(key: string): AsyncGenerator<[string, string][]> {
    let cursor = '0'
    do {
      const [next, flat] = await this.#redis.hscan(key, cursor, 'COUNT', scanRows)
      yield Array.from({ length: flat.length / 2 }, (_, nth) => [flat[nth * 2] ?? '', flat[nth * 2 + 1] ?? ''])
      cursor = next
    } while (cursor !== '0')
  }
}

const scanRows = 1000

/** By the fields that they have among the totals. */
function warnedTotals(table: string, counts: Tally['warned']): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(counts).map(([warning, count]) => [`warned.${warning}|${table}`, count])),
  )
}

/** The same text for the same state, as the script compares texts. */
function asStored(heldBack: HeldBack): string {
  return JSON.stringify(HeldBack.parse(heldBack))
}

function hasHeldBack(json: string): boolean {
  const { done, tally } = Checkpoint.parse(JSON.parse(json))
  return done && (tally.skipped.held_back ?? 0) > 0
}

/** What `settleScript` is told of a row behind its chunk. */
function endOf(row: RetriedRow): [counter: string, value: string, sentField: string, day: string] {
  switch (row.kind) {
    case 'sent': {
      const { table, event, day } = row
      const [[field, days] = ['', {}]] = Object.entries(sentFields(table, [{ event, day, count: 1 }]))
      return ['sent', '', field, Object.keys(days)[0] ?? '']
    }
    case 'skipped':
      return [`skipped.${row.reason}`, '', '', '']
    case 'rejected':
      return [`rejected.${row.reason}`, JSON.stringify(RejectedRow.parse(row)), '', '']
  }
}

function assertHeld(answer: unknown): void {
  if (answer !== -1) return
  throw new OperatorError(
    'Another process retries rows of this run now: this one did not reach Redis for too long',
    'Nothing is lost. Start the same command again when the other one has ended.',
  )
}

/** A million rows in a few ten megabytes: their numbers by chunk, not their names. */
class SeenRows {
  readonly #rows = new Map<string, Set<number>>()

  /** @returns false for a row that was there already */
  add(field: string): boolean {
    const colon = field.indexOf(':')
    const chunk = field.slice(0, colon)
    const row = Number(field.slice(colon + 1))
    const rows = this.#rows.get(chunk) ?? new Set()
    if (rows.size === 0) this.#rows.set(chunk, rows)
    if (rows.has(row)) return false
    rows.add(row)
    return true
  }
}
