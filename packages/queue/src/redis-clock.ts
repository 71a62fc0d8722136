import type { Redis } from 'ioredis'

/**
 * The one clock that all processes of a run share, whatever their machines think the time is. What one of them said is
 * told by it, and compared by it.
 * @returns ms since 1970
 */
export async function redisNowMs(redis: Redis): Promise<number> {
  const [seconds, microseconds] = await redis.time()
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
}

/** The same clock, inside a script. */
export const redisClock = `
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end`
