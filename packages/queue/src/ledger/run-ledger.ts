import {
  type CurrentPace,
  defaultPace,
  IdentitiesRecord,
  Intent,
  OperatorError,
  Pace,
  type PaceReason,
  phases,
  Run,
  RunId,
  type RunLedger,
  SessionsRecord,
  type TimelineEntry,
  TransportName,
  Unloaded,
  Waiting,
} from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { z } from 'zod'
import { defineScript } from '../define-script.ts'
import { keysOf, runsKey } from '../keys.ts'
import { currentPaceScript, limitText, paceOf, setPaceScript } from '../pace-scripts.ts'
import { redisNowMs } from '../redis-clock.ts'
import { parsed } from './parsed.ts'
import { tablesOf } from './tables-of.ts'
import { timelineLedger } from './timeline-ledger.ts'

const StoredWaiting = z.object({ ...Waiting.shape, saidAtMs: z.number().int() })
const StoredPace = z.tuple([z.string(), z.string(), z.coerce.number(), z.number(), z.coerce.number(), z.number()])
const waitingForgottenMs = 30_000

// Several times what a producer waits between two words.
const unloaderForgottenMs = 10_000

export const wantedToRun: Intent = { kind: 'run', by: 'heapferry', acceptedTables: [] }

export function runLedger(redis: Redis): RunLedger {
  const { runKeys } = keysOf(redis)
  const { record } = timelineLedger(redis)

  async function stored(id: RunId): Promise<Run | null> {
    return parsed(Run, await redis.hget(runKeys(id).run, 'run'))
  }

  async function paceNow(id: RunId, run: Run | null): Promise<CurrentPace> {
    const known = limitText(run === null ? null : defaultPace(run.destination))
    const answer = await currentPaceScript(redis, { keys: runKeys(id), args: { known } })
    const [limit, effective, loweredBy, isBusy, changedAtMs, shutMs] = StoredPace.parse(answer)
    const isLowered = effective !== limit
    const reasons: (PaceReason | false)[] = [
      shutMs > 0 && { kind: 'retry_after', leftMs: shutMs },
      isLowered && { kind: 'lowered', status: loweredBy },
      isBusy === 1 && { kind: 'busy_id' },
    ]
    return {
      limit: paceOf(limit),
      effective: isLowered ? Math.round(Number(effective)) : paceOf(limit),
      reason: reasons.find((reason) => reason !== false) ?? null,
      changedAtMs,
    }
  }

  async function setPace(id: RunId, pace: Pace, by: string): Promise<void> {
    const run = await stored(id)
    if (!run) throw new Error(`the run ${id} vanished from Redis while its pace was set`)
    if (run.destination.kind === 'json_lines')
      throw new OperatorError(
        `The run ${id} writes files, as fast as it can`,
        'Only what is sent to PostHog has a pace.',
      )
    const atMs = await redisNowMs(redis, id)
    const before = await setPaceScript(redis, {
      keys: runKeys(id),
      args: { limit: limitText(Pace.parse(pace)), nowMs: atMs },
    })
    const from = typeof before === 'string' ? paceOf(before) : defaultPace(run.destination)
    if (from !== pace) await record(id, { kind: 'pace_changed', atMs, by, from, to: pace })
  }

  return {
    async createRun(run, by) {
      const isNew = await redis.hsetnx(runKeys(run.id).run, 'run', JSON.stringify(run))
      if (isNew === 1) await record(run.id, { kind: 'created', atMs: run.createdAtMs, by })
      await redis.hset(runKeys(run.id).run, 'wantedAtMs', await redisNowMs(redis, run.id))
      await redis.zadd(runsKey, 'NX', run.createdAtMs, run.id)
      const created = await stored(run.id)
      if (!created) throw new Error(`run ${run.id} vanished from Redis while it was created`)
      return created
    },

    run: stored,

    async runs() {
      const ids = await redis.zrevrange(runsKey, 0, -1)
      const runs = await Promise.all(ids.map((id) => stored(RunId.parse(id))))
      return runs.filter((run) => run !== null)
    },

    async setIdentities(run, identities) {
      await redis.hset(runKeys(run).run, 'identities', JSON.stringify(identities))
    },

    async identities(run) {
      return parsed(IdentitiesRecord, await redis.hget(runKeys(run).run, 'identities'))
    },

    async setSessions(run, sessions) {
      await redis.hset(runKeys(run).run, 'sessions', JSON.stringify(sessions))
    },

    async sessions(run) {
      return parsed(SessionsRecord, await redis.hget(runKeys(run).run, 'sessions'))
    },

    async setIntent(run, intent) {
      const keys = runKeys(run)
      await redis.hset(keys.run, 'intent', JSON.stringify(intent))
      // Whoever wants a run to go on has PostHog asked now, whatever it said about later.
      if (intent.kind === 'run') {
        await redis.hdel(keys.pace, 'gateAt', 'probedAt')
        await redis.hset(keys.run, 'wantedAtMs', await redisNowMs(redis, run))
      }
      await record(run, entryOf(intent, await redisNowMs(redis, run)))
    },

    async pauseIfRunning(run, pause) {
      const paused = await pauseIfRunningScript(redis, { keys: runKeys(run), args: { pause: JSON.stringify(pause) } })
      if (paused === 1) await record(run, entryOf(pause, await redisNowMs(redis, run)))
    },

    async intent(run) {
      return parsed(Intent, await redis.hget(runKeys(run).run, 'intent')) ?? wantedToRun
    },

    async holdUnloading(run, holder) {
      const held = await holdUnloadingScript(redis, { keys: runKeys(run), args: { holder, ms: unloaderForgottenMs } })
      return held === 1
    },

    async releaseUnloading(run, holder) {
      await releaseUnloadingScript(redis, { keys: runKeys(run), args: { holder } })
    },

    async setUnloading(run, unloaded) {
      const { run: key } = runKeys(run)
      if (unloaded === null) await redis.hdel(key, 'unloading')
      else await redis.hset(key, 'unloading', JSON.stringify(unloaded))
    },

    setPace,

    async wishPace(id, pace, by) {
      const { run } = runKeys(id)
      const wished = limitText(Pace.parse(pace))
      if ((await redis.hget(run, 'wishedPace')) === wished) return false
      await setPace(id, pace, by)
      await redis.hset(run, 'wishedPace', wished)
      return true
    },

    async progress(run) {
      const keys = runKeys(run)
      const [fields, totals, samples, waiting, nowMs] = await Promise.all([
        redis.hgetall(keys.run),
        redis.hgetall(keys.totals),
        redis.lrange(keys.samples, 0, -1),
        redis.hvals(keys.waiting),
        redisNowMs(redis, run),
      ])
      const pace = await paceNow(run, parsed(Run, fields['run']))
      return {
        nowMs,
        pace,
        intent: parsed(Intent, fields.intent) ?? wantedToRun,
        transport: TransportName.nullable().parse(fields.transport ?? null),
        phases: phases.map((phase) => ({
          phase,
          sealed: fields[`sealed|${phase}`] === '1',
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
          .filter(({ saidAtMs }) => Math.abs(nowMs - saidAtMs) < waitingForgottenMs)
          .map((said) => Waiting.parse(said)),
        wantedAtMs: Number(fields.wantedAtMs ?? 0),
        producedAtMs: fields.producedAtMs === undefined ? null : Number(fields.producedAtMs),
        unloading: parsed(Unloaded, fields['unloading'] ?? null),
      }
    },
  }
}

function entryOf(intent: Intent, atMs: number): TimelineEntry {
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

const pauseIfRunningScript = defineScript({
  keys: ['run'],
  args: ['pause'],
  lua: `
local stored = redis.call('HGET', run, 'intent')
if stored and cjson.decode(stored).kind ~= 'run' then return 0 end
redis.call('HSET', run, 'intent', pause)
return 1
`,
})

const holdUnloadingScript = defineScript({
  keys: ['unloader'],
  args: ['holder', 'ms'],
  lua: `
local held = redis.call('GET', unloader)
if held and held ~= holder then return 0 end
redis.call('SET', unloader, holder, 'PX', ms)
return 1
`,
})

const releaseUnloadingScript = defineScript({
  keys: ['unloader'],
  args: ['holder'],
  lua: `
if redis.call('GET', unloader) == holder then redis.call('DEL', unloader) end
return 1
`,
})
