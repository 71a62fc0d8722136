import { type HistoryPoint, TimelineEntry, type TimelineLedger } from '@heapferry/domain'
import type { Redis } from '../redis-client.ts'
import { z } from 'zod'
import { keysOf } from '../keys.ts'
import { redisNowMs } from '../redis-clock.ts'

// Years of pauses and outages; a list without an end would be the one thing of a run that grows by itself.
export const keptEntries = 5000

export function timelineLedger(redis: Redis): TimelineLedger {
  const { runKeys } = keysOf(redis)
  return {
    nowMs: (run) => redisNowMs(redis, run),

    async record(run, entry) {
      const { timeline } = runKeys(run)
      await redis.rpush(timeline, JSON.stringify(TimelineEntry.parse(entry)))
      await redis.ltrim(timeline, -keptEntries, -1)
    },

    async timeline(run) {
      const entries = await redis.lrange(runKeys(run).timeline, 0, -1)
      let atLeastMs = 0
      return entries.map((json) => {
        const entry = entryOf(json, atLeastMs)
        atLeastMs = entry.atMs
        return entry
      })
    },

    async history(run) {
      const points = await redis.lrange(runKeys(run).history, 0, -1)
      return points.map(pointOf)
    },

    async latestPoint(run) {
      const point = await redis.lindex(runKeys(run).history, -1)
      return point === null ? null : pointOf(point)
    },
  }
}

const Timed = z.object({ atMs: TimelineEntry.options[0].shape.atMs })

/** What another version, or another program, has put there costs its own line and nothing else. */
function entryOf(json: string, atLeastMs: number): TimelineEntry {
  const value = valueOf(json)
  const entry = TimelineEntry.safeParse(value)
  if (entry.success) return entry.data
  const moment = Timed.safeParse(value)
  return { kind: 'unreadable', atMs: moment.success ? moment.data.atMs : atLeastMs, text: json.slice(0, 200) }
}

function valueOf(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}

function pointOf(text: string): HistoryPoint {
  const [atMs = 0, read = 0, sent = 0, rejected = 0] = text.split(':').map(Number)
  return { atMs, read, sent, rejected }
}
