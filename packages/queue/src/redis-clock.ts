import type { RunId } from '@heapferry/domain'
import { defineScript } from './define-script.ts'
import { keysOf } from './keys.ts'
import type { Redis } from './redis-client.ts'

/**
 * The one clock that all processes of a run share, whatever their machines think the time is: that of the Redis that has
 * the run, in a cluster one of several. What one of them said is told by it, and compared by it.
 * @returns ms since 1970
 */
export async function redisNowMs(redis: Redis, run: RunId): Promise<number> {
  return Number(await nowScript(redis, { keys: { run: keysOf(redis).runKeys(run).run }, args: {} }))
}

/** The same clock, inside a script. */
export const redisClock = `
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end`

/** TIME has no key, by which a cluster would know whom to ask. */
const nowScript = defineScript({ keys: ['run'], lua: `${redisClock}\nreturn nowMs()` })
