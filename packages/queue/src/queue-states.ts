import type { QueueStates } from '@heapferry/domain'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { answersOf } from './answers-of.ts'
import { queueKeys } from './keys.ts'

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
      const keys = queueKeys(run, phase)
      const [wait, prioritized, delayed, taken, failed, [newestFailed], paused] = Counted.parse(
        await answersOf(
          redis
            .multi()
            .llen(keys.wait)
            .zcard(keys.prioritized)
            .zcard(keys.delayed)
            .lrange(keys.active, 0, -1)
            .zcard(keys.failed)
            .zrevrange(keys.failed, 0, 0)
            .hexists(keys.meta, 'paused'),
        ),
      )
      const held = await Promise.all(taken.map((id) => redis.exists(keys.lock(id))))
      const active = held.filter((exists) => exists === 1).length
      return {
        waiting: wait + prioritized + delayed + taken.length - active,
        active,
        failed,
        paused: paused === 1,
        firstFailure: newestFailed === undefined ? null : await failureOf(redis, keys.job(newestFailed)),
      }
    },
  }
}

async function failureOf(redis: Redis, job: string): Promise<string> {
  const [title, reason] = Failure.parse(await redis.hmget(job, 'name', 'failedReason'))
  return `${title}: ${reason}`
}
