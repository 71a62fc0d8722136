import { type HistoryPoint, TimelineEntry, type TimelineLedger } from '@heapferry/domain'
import type { Redis } from 'ioredis'
import { runKeys } from '../keys.ts'

// Years of pauses and outages; a list without an end would be the one thing of a run that grows by itself.
export const keptEntries = 5000

export function timelineLedger(redis: Redis): TimelineLedger {
  return {
    async record(run, entry) {
      const { timeline } = runKeys(run)
      await redis.rpush(timeline, JSON.stringify(entry))
      await redis.ltrim(timeline, -keptEntries, -1)
    },

    async timeline(run) {
      const entries = await redis.lrange(runKeys(run).timeline, 0, -1)
      return entries.map((json) => TimelineEntry.parse(JSON.parse(json)))
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

function pointOf(text: string): HistoryPoint {
  const [atMs = 0, read = 0, sent = 0, rejected = 0] = text.split(':').map(Number)
  return { atMs, read, sent, rejected }
}
