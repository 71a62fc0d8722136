import { Checkpoint, ExportFile, FileId, phaseOf, type PlanLedger } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { z } from 'zod'
import { defineScript } from '../define-script.ts'
import { keysOf } from '../keys.ts'
import { redisClock, redisNowMs } from '../redis-clock.ts'
import { chunkDigest } from './chunk-digest.ts'
import { parsed } from './parsed.ts'

const StoredPlan = z.object({ chunks: z.number().int(), rows: z.number().int() })

export function planLedger(redis: Redis): PlanLedger {
  const { runKeys } = keysOf(redis)
  return {
    async producing(run) {
      await redis.hset(runKeys(run).run, 'producedAtMs', await redisNowMs(redis, run))
    },

    async addFile(run, file) {
      await addFileScript(redis, { keys: runKeys(run), args: { file: file.id, json: JSON.stringify(file) } })
    },

    async planChunks(run, chunks) {
      const { chunks: key } = runKeys(run)
      const [first] = chunks
      if (!first || (await redis.hexists(key, first.file)) === 0) return
      await redis.hset(key, Object.fromEntries(chunks.map((chunk) => [chunk.id, chunkDigest(chunk)])))
    },

    async file(run, file) {
      return parsed(ExportFile, await redis.hget(runKeys(run).files, file))
    },

    async files(run) {
      const files = await redis.hvals(runKeys(run).files)
      return files.map((json) => ExportFile.parse(JSON.parse(json))).toSorted((a, b) => (a.path < b.path ? -1 : 1))
    },

    async planFile(run, { id, table }, plan) {
      const { chunks, rows } = plan
      await planFileScript(redis, {
        keys: runKeys(run),
        args: { file: id, plan: JSON.stringify(plan), chunks, rows, tableName: table.name, phase: phaseOf(table.kind) },
      })
    },

    async filePlan(run, file) {
      return parsed(StoredPlan, await redis.hget(runKeys(run).plans, file))
    },

    async fileCounts(run) {
      const [files, planned] = await Promise.all([redis.hlen(runKeys(run).files), redis.hlen(runKeys(run).plans)])
      return { files, planned }
    },

    async filePlans(run) {
      const plans = Object.entries(await redis.hgetall(runKeys(run).plans))
      return new Map(plans.map(([id, plan]) => [FileId.parse(id), StoredPlan.parse(JSON.parse(plan))]))
    },

    async fileRows(run) {
      const rows = Object.entries(await redis.hgetall(runKeys(run).fileRows))
      return new Map(rows.map(([id, read]) => [FileId.parse(id), Number(read)]))
    },

    async unseal(run, phase) {
      await redis.hset(runKeys(run).run, `sealed|${phase}`, 0)
    },

    async seal(run, phase, chunks) {
      return (await sealScript(redis, { keys: runKeys(run), args: { phase, chunks } })) === 1
    },

    async finished(run, chunks) {
      if (chunks.length === 0) return new Set()
      const stored = await redis.hmget(runKeys(run).checkpoints, ...chunks)
      return new Set(chunks.filter((_, index) => parsed(Checkpoint, stored[index])?.done))
    },
  }
}

/** Files that were begun by older versions may have chunks in the queue that are noted nowhere: they go on without. */
const addFileScript = defineScript({
  keys: ['files', 'chunks'],
  args: ['file', 'json'],
  lua: `
if redis.call('HSET', files, file, json) == 1 then redis.call('HSET', chunks, file, '') end
`,
})

/**
 * Adds a file's plan to the run's totals unless it is there already: a producer that dies and cuts the file again
 * plans it once.
 */
const planFileScript = defineScript({
  keys: ['plans', 'totals'],
  args: ['file', 'plan', 'chunks', 'rows', 'tableName', 'phase'],
  lua: `
if redis.call('HSETNX', plans, file, plan) == 0 then return 0 end
redis.call('HINCRBY', totals, 'planned|' .. phase, chunks)
redis.call('HINCRBY', totals, 'rows|' .. tableName, rows)
redis.call('HSET', totals, 'phase|' .. tableName, phase)
return 1
`,
})

/** A phase completes at its last commit, or when it is sealed after that; scripts run one by one, so it is recorded once. */
export const phaseCompleted = `
local function recordPhaseIfComplete(totals, timeline, phase, now)
  local planned = tonumber(redis.call('HGET', totals, 'planned|' .. phase) or 0)
  if tonumber(redis.call('HGET', totals, 'done|' .. phase) or 0) < planned then return end
  redis.call('RPUSH', timeline, '{"kind":"phase_completed","atMs":' .. now .. ',"phase":"' .. phase .. '"}')
end`

/**
 * Seals a phase if the ledger holds the whole plan of it. A Redis that went back in time (a restored snapshot, a replica
 * that lagged) has forgotten files that the producer planned; sealed, the run would complete without them.
 */
const sealScript = defineScript({
  keys: ['run', 'totals', 'timeline'],
  args: ['phase', 'chunks'],
  lua: `
${redisClock}
${phaseCompleted}
if redis.call('HEXISTS', run, 'run') == 0 then return 0 end
if tonumber(redis.call('HGET', totals, 'planned|' .. phase) or 0) ~= tonumber(chunks) then return 0 end
if redis.call('HGET', run, 'sealed|' .. phase) == '1' then return 1 end
redis.call('HSET', run, 'sealed|' .. phase, 1)
recordPhaseIfComplete(totals, timeline, phase, nowMs())
return 1
`,
})
