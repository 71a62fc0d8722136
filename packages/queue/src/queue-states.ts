import type { QueueStates } from '@heapferry/domain'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { jobKey, lockKey, metaKey, stateKey } from './keys.ts'

const Counted = z.tuple([
  z.number(),
  z.number(),
  z.number(),
  z.array(z.string()),
  z.number(),
  z.array(z.string()),
  z.number(),
])
const Failure = z.tuple([z.string().nullable(), z.string().nullable()])

/**
 * How the queue of a phase stands, read from BullMQ's own keys in two round trips at most. BullMQ itself would take six,
 * and a third of a second of CPU to be loaded, which is most of what `status` does.
 *
 * All is read at one moment: a chunk that goes from one state to another meanwhile is in exactly one of them.
 * A chunk whose worker died counts as waiting: its lock runs out, and others take it.
 */
export function queueStates(redis: Redis): QueueStates {
  return {
    async queueState(run, phase) {
      const key = (state: Parameters<typeof stateKey>[2]): string => stateKey(run, phase, state)
      const [wait, prioritized, delayed, taken, failed, [newestFailed], paused] = Counted.parse(
        await answersOf(
          redis
            .multi()
            .llen(key('wait'))
            .zcard(key('prioritized'))
            .zcard(key('delayed'))
            .lrange(key('active'), 0, -1)
            .zcard(key('failed'))
            .zrevrange(key('failed'), 0, 0)
            .hexists(metaKey(run, phase), 'paused'),
        ),
      )
      const held = await Promise.all(taken.map((id) => redis.exists(lockKey(run, phase, id))))
      const active = held.filter((exists) => exists === 1).length
      return {
        waiting: wait + prioritized + delayed + taken.length - active,
        active,
        failed,
        paused: paused === 1,
        firstFailure: newestFailed === undefined ? null : await failureOf(redis, jobKey(run, phase, newestFailed)),
      }
    },
  }
}

async function failureOf(redis: Redis, job: string): Promise<string> {
  const [title, reason] = Failure.parse(await redis.hmget(job, 'name', 'failedReason'))
  return `${title}: ${reason}`
}

/** @throws the first error that Redis answered */
async function answersOf(pipeline: ReturnType<Redis['multi']>): Promise<unknown[]> {
  return ((await pipeline.exec()) ?? []).map(([error, answer]) => {
    if (error) throw error
    return answer
  })
}
