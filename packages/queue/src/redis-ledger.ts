import {
  type Answers,
  type Checkpoint,
  Checkpoint as CheckpointSchema,
  type Chunk,
  type ChunkId,
  type Claim,
  type CommitAnswer,
  type CurrentPace,
  defaultPace,
  emptyTally,
  ExportFile,
  type FileId,
  FileId as FileIdSchema,
  type FilePlan,
  type HistoryPoint,
  IdentitiesRecord,
  Intent,
  noAnswers,
  OperatorError,
  type Pace,
  type Phase,
  phaseOf,
  phases,
  Pulse,
  PostHogVerification,
  type RejectedRow,
  RejectReason,
  Run,
  RunId,
  type RunLedger,
  type RunProgress,
  type SentSlice,
  type SentTable,
  SkipReason,
  SourceVerification,
  type TableProgress,
  type Tally,
  TimelineEntry,
  TransportName,
  type Verification,
  Waiting,
  Warning,
} from '@heapferry/domain'
import { duration } from '@heapferry/migration'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { lockKey, rowField, runKeys, runsKey } from './keys.ts'
import { currentPaceScript, setPaceScript } from './pace-scripts.ts'
import { limitText, paceOf } from './redis-pacer.ts'
import { RedisRetryLedger } from './redis-retry-ledger.ts'
import { commitScript, pauseIfRunningScript, planFileScript, sealScript, setTransportScript } from './scripts.ts'
import { sentEvents, sentFields } from './sent-fields.ts'

const StoredPlan = z.object({ chunks: z.number().int(), rows: z.number().int() })
const StoredWaiting = z.object({ ...Waiting.shape, saidAtMs: z.number().int() })
const StoredPace = z.tuple([z.string(), z.string(), z.string(), z.number(), z.coerce.number(), z.number()])
const busyIdReason = 'one distinct_id has more than 5,000 events a minute'
const waitingForgottenMs = 30_000
const pulseForgottenMs = 60_000
const wantedToRun: Intent = { kind: 'run', by: 'heapferry', acceptedTables: [] }
// Years of pauses and outages; a list without an end would be the one thing of a run that grows by itself.
const keptEntries = 5000

/** The ledger in Redis: the truth about every run. BullMQ's queues are only the schedule. */
export class RedisLedger extends RedisRetryLedger implements RunLedger {
  readonly #redis: Redis

  constructor(redis: Redis) {
    super(redis)
    this.#redis = redis
  }

  async createRun(run: Run, by: string): Promise<Run> {
    const isNew = await this.#redis.hsetnx(runKeys(run.id).run, 'run', JSON.stringify(run))
    if (isNew === 1) await this.record(run.id, { kind: 'created', atMs: run.createdAtMs, by })
    await this.#redis.zadd(runsKey, 'NX', run.createdAtMs, run.id)
    const stored = await this.run(run.id)
    if (!stored) throw new Error(`run ${run.id} vanished from Redis while it was created`)
    return stored
  }

  async run(id: RunId): Promise<Run | null> {
    return parsed(Run, await this.#redis.hget(runKeys(id).run, 'run'))
  }

  async runs(): Promise<Run[]> {
    const ids = await this.#redis.zrevrange(runsKey, 0, -1)
    const runs = await Promise.all(ids.map((id) => this.run(RunId.parse(id))))
    return runs.filter((run) => run !== null)
  }

  async addFile(run: RunId, file: ExportFile): Promise<void> {
    await this.#redis.hset(runKeys(run).files, file.id, JSON.stringify(file))
  }

  async file(run: RunId, file: FileId): Promise<ExportFile | null> {
    return parsed(ExportFile, await this.#redis.hget(runKeys(run).files, file))
  }

  async files(run: RunId): Promise<ExportFile[]> {
    const files = await this.#redis.hvals(runKeys(run).files)
    return files.map((json) => ExportFile.parse(JSON.parse(json))).toSorted((a, b) => (a.path < b.path ? -1 : 1))
  }

  async planFile(run: RunId, file: ExportFile, plan: FilePlan): Promise<void> {
    const keys = runKeys(run)
    const json = JSON.stringify(plan)
    const { name, kind } = file.table
    await this.#redis.eval(
      planFileScript,
      2,
      keys.plans,
      keys.totals,
      file.id,
      json,
      plan.chunks,
      plan.rows,
      name,
      phaseOf(kind),
    )
  }

  async filePlan(run: RunId, file: FileId): Promise<FilePlan | null> {
    return parsed(StoredPlan, await this.#redis.hget(runKeys(run).plans, file))
  }

  async fileProgress(run: RunId): Promise<Map<FileId, { plan: FilePlan | null; read: number }>> {
    const keys = runKeys(run)
    const [plans, rows, ids] = await Promise.all([
      this.#redis.hgetall(keys.plans),
      this.#redis.hgetall(keys.fileRows),
      this.#redis.hkeys(keys.files),
    ])
    return new Map(
      ids.map((id) => [FileIdSchema.parse(id), { plan: parsed(StoredPlan, plans[id]), read: Number(rows[id] ?? 0) }]),
    )
  }

  async unseal(run: RunId, phase: Phase): Promise<void> {
    await this.#redis.hset(runKeys(run).run, `sealed|${phase}`, 0)
  }

  async seal(run: RunId, phase: Phase, chunks: number): Promise<boolean> {
    const keys = runKeys(run)
    return (
      (await this.#redis.eval(sealScript, 3, keys.run, keys.totals, keys.timeline, phase, chunks, Date.now())) === 1
    )
  }

  async finished(run: RunId, chunks: readonly ChunkId[]): Promise<Set<ChunkId>> {
    if (chunks.length === 0) return new Set()
    const stored = await this.#redis.hmget(runKeys(run).checkpoints, ...chunks)
    return new Set(chunks.filter((_, index) => parsed(CheckpointSchema, stored[index])?.done))
  }

  async setIdentities(run: RunId, identities: IdentitiesRecord): Promise<void> {
    await this.#redis.hset(runKeys(run).run, 'identities', JSON.stringify(identities))
  }

  async identities(run: RunId): Promise<IdentitiesRecord | null> {
    return parsed(IdentitiesRecord, await this.#redis.hget(runKeys(run).run, 'identities'))
  }

  async setIntent(run: RunId, intent: Intent): Promise<void> {
    const keys = runKeys(run)
    await this.#redis.hset(keys.run, 'intent', JSON.stringify(intent))
    // Whoever wants a run to go on has PostHog asked now, whatever it said about later.
    if (intent.kind === 'run') await this.#redis.hdel(keys.pace, 'gateAt', 'probedAt')
    await this.record(run, entryOf(intent))
  }

  async pauseIfRunning(run: RunId, pause: Extract<Intent, { kind: 'pause' }>): Promise<void> {
    const paused = await this.#redis.eval(pauseIfRunningScript, 1, runKeys(run).run, JSON.stringify(pause))
    if (paused === 1) await this.record(run, entryOf(pause))
  }

  async intent(run: RunId): Promise<Intent> {
    return parsed(Intent, await this.#redis.hget(runKeys(run).run, 'intent')) ?? wantedToRun
  }

  async setPace(id: RunId, pace: Pace, by: string): Promise<void> {
    const run = await this.run(id)
    if (!run) throw new Error(`the run ${id} vanished from Redis while its pace was set`)
    if (run.destination.kind === 'json_lines')
      throw new OperatorError(
        `The run ${id} writes files, as fast as it can`,
        'Only what is sent to PostHog has a pace.',
      )
    const atMs = Date.now()
    const stored = await this.#redis.eval(setPaceScript, 1, runKeys(id).pace, limitText(pace), atMs)
    const from = typeof stored === 'string' ? paceOf(stored) : defaultPace(run.destination)
    if (from !== pace) await this.record(id, { kind: 'pace_changed', atMs, by, from, to: pace })
  }

  async #pace(id: RunId, run: Run | null): Promise<CurrentPace> {
    const unlessStored = run === null ? null : defaultPace(run.destination)
    const answer = await this.#redis.eval(currentPaceScript, 1, runKeys(id).pace, limitText(unlessStored))
    const [limit, effective, loweredBy, isBusy, changedAtMs, shutMs] = StoredPace.parse(answer)
    const isLowered = effective !== limit
    const reasons = [
      shutMs > 0 && `PostHog wants no request for another ${duration(shutMs / 1000)}`,
      isLowered && `PostHog answered ${loweredBy}`,
      isBusy === 1 && busyIdReason,
    ]
    return {
      limit: paceOf(limit),
      effective: isLowered ? Math.round(Number(effective)) : paceOf(limit),
      reason: reasons.find((reason) => reason !== false) ?? null,
      changedAtMs,
    }
  }

  async checkpoint(chunk: Chunk): Promise<Checkpoint | null> {
    return parsed(CheckpointSchema, await this.#redis.hget(runKeys(chunk.run).checkpoints, chunk.id))
  }

  async commit(
    claim: Claim,
    checkpoint: Checkpoint,
    rejected: readonly RejectedRow[],
    sent: SentSlice,
  ): Promise<CommitAnswer> {
    const { chunk, file } = claim
    const keys = runKeys(chunk.run)
    const phase = phaseOf(file.table.kind)
    const answer = await this.#redis.eval(
      commitScript,
      10,
      lockKey(chunk.run, phase, chunk.id),
      keys.checkpoints,
      keys.totals,
      keys.rejected,
      keys.run,
      keys.samples,
      keys.history,
      keys.timeline,
      keys.fileRows,
      keys.sent,
      claim.token,
      chunk.id,
      JSON.stringify(checkpoint),
      file.table.name,
      phase,
      Date.now(),
      sent.from,
      JSON.stringify(sentFields(file.table.name, sent.counts)),
      ...rejected.flatMap((row) => [rowField(row), JSON.stringify(row)]),
    )
    if (answer === -1) return { kind: 'lock_lost' }
    return { kind: 'committed', intent: typeof answer === 'string' ? Intent.parse(JSON.parse(answer)) : wantedToRun }
  }

  async progress(run: RunId): Promise<RunProgress> {
    const keys = runKeys(run)
    const [record, totals, samples, waiting] = await Promise.all([
      this.#redis.hgetall(keys.run),
      this.#redis.hgetall(keys.totals),
      this.#redis.lrange(keys.samples, 0, -1),
      this.#redis.hvals(keys.waiting),
    ])
    const pace = await this.#pace(run, parsed(Run, record['run']))
    const now = Date.now()
    return {
      pace,
      intent: parsed(Intent, record.intent) ?? wantedToRun,
      transport: TransportName.nullable().parse(record.transport ?? null),
      phases: phases.map((phase) => ({
        phase,
        sealed: record[`sealed|${phase}`] === '1',
        planned: Number(totals[`planned|${phase}`] ?? 0),
        done: Number(totals[`done|${phase}`] ?? 0),
      })),
      tables: tablesOf(totals),
      samples: samples
        .map((sample) => sample.split(':').map(Number))
        .map(([atMs = 0, rowsRead = 0]) => ({ atMs, rowsRead }))
        .toReversed(),
      waiting: waiting
        .map((json) => StoredWaiting.parse(JSON.parse(json)))
        .filter(({ saidAtMs }) => now - saidAtMs < waitingForgottenMs)
        .map((stored) => Waiting.parse(stored)),
    }
  }

  async sentTables(run: RunId): Promise<SentTable[]> {
    const { sent, totals } = runKeys(run)
    // Together, or a commit between the two would make counts look incomplete.
    const answers = await this.#redis.multi().hgetall(sent).hgetall(totals).exec()
    const [fields = {}, counters = {}] = z
      .array(z.tuple([z.null(), z.record(z.string(), z.string())]))
      .parse(answers)
      .map(([, hash]) => hash)
    const events = sentEvents(fields)
    return tablesOf(counters)
      .filter(({ tally }) => tally.sent > 0)
      .map(({ table, tally }) => ({ table, rows: tally.sent, events: events.get(table) ?? [] }))
  }

  async setVerification(run: RunId, verification: Verification): Promise<void> {
    const { kind, verdict, by, verified_at } = verification
    await this.#redis.hset(runKeys(run).verifications, kind, JSON.stringify(verification))
    await this.record(run, { kind: 'verified', atMs: Date.parse(verified_at), by, against: kind, verdict })
  }

  async verifications(run: RunId): ReturnType<RunLedger['verifications']> {
    const [posthog, source] = await this.#redis.hmget(runKeys(run).verifications, 'posthog', 'source')
    return { posthog: parsed(PostHogVerification, posthog), source: parsed(SourceVerification, source) }
  }

  async setWaiting(run: RunId, worker: string, waiting: Waiting | null): Promise<void> {
    const key = runKeys(run).waiting
    if (waiting) await this.#redis.hset(key, worker, JSON.stringify({ ...waiting, saidAtMs: Date.now() }))
    else await this.#redis.hdel(key, worker)
  }

  async setTransport(run: RunId, transport: TransportName, reason: string): Promise<void> {
    const { run: key, timeline } = runKeys(run)
    const entry: TimelineEntry = { kind: 'transport_chosen', atMs: Date.now(), transport, reason }
    await this.#redis.eval(setTransportScript, 2, key, timeline, transport, JSON.stringify(entry), keptEntries)
  }

  async history(run: RunId): Promise<HistoryPoint[]> {
    const points = await this.#redis.lrange(runKeys(run).history, 0, -1)
    return points.map(pointOf)
  }

  async latestPoint(run: RunId): Promise<HistoryPoint | null> {
    const point = await this.#redis.lindex(runKeys(run).history, -1)
    return point === null ? null : pointOf(point)
  }

  async setPulse(run: RunId, pulse: Pulse): Promise<void> {
    await this.#redis.hset(runKeys(run).pulses, pulse.worker, JSON.stringify(pulse))
  }

  async pulses(run: RunId): Promise<Pulse[]> {
    const { pulses: key } = runKeys(run)
    const pulses = (await this.#redis.hvals(key)).map((json) => Pulse.parse(JSON.parse(json)))
    const oldestMs = Date.now() - pulseForgottenMs
    const gone = pulses.filter(({ atMs }) => atMs < oldestMs).map(({ worker }) => worker)
    if (gone.length > 0) await this.#redis.hdel(key, ...gone)
    return pulses.filter(({ atMs }) => atMs >= oldestMs).toSorted((a, b) => (a.worker < b.worker ? -1 : 1))
  }

  async removePulse(run: RunId, worker: string): Promise<void> {
    await this.#redis.hdel(runKeys(run).pulses, worker)
  }

  async addAnswers(run: RunId, { byStatus, byTime, totalMs }: Answers): Promise<void> {
    const { answers } = runKeys(run)
    const pipeline = this.#redis.pipeline()
    for (const [status, count] of Object.entries(byStatus)) pipeline.hincrby(answers, `status|${status}`, count)
    for (const [index, count] of byTime.entries()) if (count > 0) pipeline.hincrby(answers, `time|${index}`, count)
    pipeline.hincrby(answers, 'ms', totalMs)
    await pipeline.exec()
  }

  async answers(run: RunId): Promise<Answers> {
    const stored = await this.#redis.hgetall(runKeys(run).answers)
    const byStatus: Record<string, number> = {}
    for (const [field, count] of Object.entries(stored)) {
      if (field.startsWith('status|')) byStatus[field.slice('status|'.length)] = Number(count)
    }
    const byTime = noAnswers.byTime.map((_, index) => Number(stored[`time|${index}`] ?? 0))
    return { byStatus, byTime, totalMs: Number(stored.ms ?? 0) }
  }

  async record(run: RunId, entry: TimelineEntry): Promise<void> {
    const { timeline } = runKeys(run)
    await this.#redis.rpush(timeline, JSON.stringify(entry))
    await this.#redis.ltrim(timeline, -keptEntries, -1)
  }

  async timeline(run: RunId): Promise<TimelineEntry[]> {
    const entries = await this.#redis.lrange(runKeys(run).timeline, 0, -1)
    return entries.map((json) => TimelineEntry.parse(JSON.parse(json)))
  }
}

function pointOf(text: string): HistoryPoint {
  const [atMs = 0, read = 0, sent = 0, rejected = 0] = text.split(':').map(Number)
  return { atMs, read, sent, rejected }
}

function entryOf(intent: Intent): TimelineEntry {
  const atMs = Date.now()
  const { by } = intent
  switch (intent.kind) {
    case 'run':
      return { kind: 'resumed', atMs, by }
    case 'pause':
      return { kind: 'paused', atMs, by, reason: intent.reason }
    case 'cancel':
      return { kind: 'cancelled', atMs, by }
  }
}

/** Counters are fields `<counter>|<table>`; those of phases have other names. */
function tablesOf(totals: Record<string, string>): TableProgress[] {
  const tables = new Map<string, { planned: number; tally: Tally }>()
  for (const [field, value] of Object.entries(totals)) {
    const bar = field.indexOf('|')
    const counter = field.slice(0, bar)
    const name = field.slice(bar + 1)
    if (counter === 'planned' || counter === 'done') continue
    const table = tables.get(name) ?? { planned: 0, tally: structuredClone(emptyTally) }
    tables.set(name, table)
    const count = Number(value)
    const [group, reason] = counter.split('.')
    if (counter === 'rows') table.planned = count
    else if (counter === 'read' || counter === 'sent') table.tally[counter] = count
    else if (group === 'skipped') table.tally.skipped[SkipReason.parse(reason)] = count
    else if (group === 'rejected') table.tally.rejected[RejectReason.parse(reason)] = count
    else if (group === 'warned') table.tally.warned[Warning.parse(reason)] = count
  }
  return [...tables]
    .map(([table, progress]) => ({ table, ...progress }))
    .toSorted((a, b) => (a.table < b.table ? -1 : 1))
}

/** Redis holds text that another version, or another program, may have written. */
function parsed<T extends z.ZodType>(schema: T, json: string | null | undefined): z.infer<T> | null {
  return json === null || json === undefined ? null : schema.parse(JSON.parse(json))
}
