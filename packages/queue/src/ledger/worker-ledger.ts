import { noAnswers, Pulse, type TimelineEntry, type WorkerLedger } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { defineScript } from '../define-script.ts'
import { keysOf } from '../keys.ts'
import { redisNowMs } from '../redis-clock.ts'
import { keptEntries } from './timeline-ledger.ts'

const pulseForgottenMs = 60_000

export function workerLedger(redis: Redis): WorkerLedger {
  const { runKeys } = keysOf(redis)
  return {
    async setPulse(run, pulse) {
      const atMs = await redisNowMs(redis, run)
      const movedAtMs = atMs - Math.round(pulse.atMs - pulse.movedAtMs)
      await redis.hset(runKeys(run).pulses, pulse.worker, JSON.stringify({ ...pulse, atMs, movedAtMs }))
    },

    async pulses(run) {
      const { pulses: key } = runKeys(run)
      const [stored, nowMs] = await Promise.all([redis.hvals(key), redisNowMs(redis, run)])
      const pulses = stored.map((json) => Pulse.parse(JSON.parse(json)))
      // One from the future was said before Redis' own clock was set back.
      const isForgotten = ({ atMs }: Pulse): boolean => Math.abs(nowMs - atMs) > pulseForgottenMs
      const gone = pulses.filter(isForgotten).map(({ worker }) => worker)
      if (gone.length > 0)
        await forgetScript(redis, { keys: { pulses: key }, args: {}, each: gone.map((worker) => ({ worker })) })
      return pulses.filter((pulse) => !isForgotten(pulse)).toSorted((a, b) => (a.worker < b.worker ? -1 : 1))
    },

    async removePulse(run, worker) {
      await redis.hdel(runKeys(run).pulses, worker)
    },

    async setWaiting(run, worker, waiting) {
      const key = runKeys(run).waiting
      if (waiting === null) {
        await redis.hdel(key, worker)
        return
      }
      const saidAtMs = await redisNowMs(redis, run)
      const aheadMs = saidAtMs - Math.round(performance.now())
      const { sinceMs, retryAtMs, detail } = waiting
      const told = { sinceMs: sinceMs + aheadMs, retryAtMs: retryAtMs + aheadMs, detail, saidAtMs }
      await redis.hset(key, worker, JSON.stringify(told))
    },

    async addAnswers(run, { byStatus, byTime, totalMs }) {
      const { answers } = runKeys(run)
      const counts = [
        ...Object.entries(byStatus).map(([status, count]) => [`status|${status}`, count] as const),
        ...byTime.map((count, index) => [`time|${index}`, count] as const),
        ['ms', totalMs] as const,
      ]
      await Promise.all(counts.filter(([, count]) => count > 0).map(([field, by]) => redis.hincrby(answers, field, by)))
    },

    async answers(run) {
      const stored = await redis.hgetall(runKeys(run).answers)
      const byStatus: Record<string, number> = {}
      for (const [field, count] of Object.entries(stored)) {
        if (field.startsWith('status|')) byStatus[field.slice('status|'.length)] = Number(count)
      }
      const byTime = noAnswers.byTime.map((_, index) => Number(stored[`time|${index}`] ?? 0))
      return { byStatus, byTime, totalMs: Number(stored.ms ?? 0) }
    },

    async setTransport(run, transport, reason) {
      const entry: TimelineEntry = { kind: 'transport_chosen', atMs: await redisNowMs(redis, run), transport, reason }
      await setTransportScript(redis, {
        keys: runKeys(run),
        args: { transport, entry: JSON.stringify(entry), keptEntries },
      })
    },
  }
}

/**
 * Remembers how events are sent, with a line in the timeline where it is another way than before: workers say it
 * whenever they start.
 */
const setTransportScript = defineScript({
  keys: ['run', 'timeline'],
  args: ['transport', 'entry', 'keptEntries'],
  lua: `
if redis.call('HGET', run, 'transport') == transport then return 0 end
redis.call('HSET', run, 'transport', transport)
redis.call('RPUSH', timeline, entry)
redis.call('LTRIM', timeline, -tonumber(keptEntries), -1)
return 1
`,
})

/** `each` is a worker. Where Redis refuses it now, whoever looks next does it: looking at workers needs no right to write. */
const forgetScript = defineScript({
  keys: ['pulses'],
  each: { args: ['worker'] },
  lua: "for worker in each() do redis.pcall('HDEL', pulses, worker) end",
})
