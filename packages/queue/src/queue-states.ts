import type { QueueStates } from '@heapferry/domain'
import type { Redis } from './redis-client.ts'
import { z } from 'zod'
import { defineScript } from './define-script.ts'
import { keysOf } from './keys.ts'
import { refusalIn } from './refusal-of.ts'

const Counted = z.tuple([z.number(), z.number(), z.number(), z.number(), z.string().nullable(), z.string()])

/**
 * How the queue of a phase stands, read from BullMQ's own keys in one round trip. BullMQ itself would take six, and a third
 * of a second of CPU to be loaded, which is most of what `status` does.
 *
 * All is read at one moment: a chunk that goes from one state to another meanwhile is in exactly one of them.
 * A chunk whose worker died counts as waiting: its lock runs out, and others take it.
 */
export function queueStates(redis: Redis): QueueStates {
  const { queueKeys, runKeys } = keysOf(redis)
  return {
    async queueState(run, phase) {
      const keys = queueKeys(run, phase)
      const answer = await countScript(redis, {
        keys: { ...keys, probe: runKeys(run).probe },
        args: { jobs: keys.job('') },
      })
      const [waiting, active, failed, paused, firstFailure, refused] = Counted.parse(answer)
      const refusal = refusalIn(refused)
      return { waiting, active, failed, paused: paused === 1, firstFailure, ...(refusal !== null && { refusal }) }
    },

    async hasTakeable(run, phase) {
      const keys = queueKeys(run, phase)
      const [waiting, prioritized, paused] = await Promise.all([
        redis.llen(keys.wait),
        redis.zcard(keys.prioritized),
        redis.hexists(keys.meta, 'paused'),
      ])
      return waiting + prioritized > 0 && paused === 0
    },
  }
}

/**
 * `jobs` is how the keys of jobs begin; the lock of a job, which its worker holds, is `<key>:lock`.
 * Answers what waits, is active and has failed, 1 where the queue is paused, the newest failure (false where there is
 * none), and with what words Redis refuses a write that would change nothing.
 */
const countScript = defineScript({
  keys: ['wait', 'prioritized', 'delayed', 'active', 'failed', 'meta', 'probe'],
  args: ['jobs'],
  lua: `
local taken = redis.call('LRANGE', active, 0, -1)
local held = 0
for _, id in ipairs(taken) do held = held + redis.call('EXISTS', jobs .. id .. ':lock') end
local left = redis.call('LLEN', wait) + redis.call('ZCARD', prioritized) + redis.call('ZCARD', delayed)
local newest = redis.call('ZREVRANGE', failed, 0, 0)[1]
local title, reason = false, false
if newest then title, reason = unpack(redis.call('HMGET', jobs .. newest, 'name', 'failedReason')) end
local failure = newest and tostring(title or '') .. ': ' .. tostring(reason or '')
local tried = redis.pcall('SET', probe, '', 'XX')
return {
  left + #taken - held,
  held,
  redis.call('ZCARD', failed),
  redis.call('HEXISTS', meta, 'paused'),
  failure or false,
  type(tried) == 'table' and tried.err or '',
}
`,
})
