import { errorMessage, OperatorError } from '@heapferry/domain'
import { Redis } from 'ioredis'

/** How long a first connection may take before the user is told. */
const connectTimeoutMs = 10_000

/**
 * Connects, and waits until Redis answers. Later outages are ridden out: commands wait and are sent when Redis is back.
 * @throws OperatorError when Redis does not answer, or refuses the password
 */
export async function connectRedis(url: string, onError: (error: Error) => void): Promise<Redis> {
  const redis = new Redis(url, {
    // BullMQ demands it of workers: a command must not give up while Redis restarts.
    maxRetriesPerRequest: null,
    // ioredis' own grows to 5 s, BullMQ's to 20 s: a worker would idle for so long after Redis is back.
    retryStrategy: (attempt) => Math.min(100 * 2 ** Math.min(attempt, 10), 2000),
  })
  let lastError: Error | undefined
  redis.on('error', (error) => {
    lastError = error
    onError(error)
  })
  const timeout = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(lastError?.message ?? 'no answer')), connectTimeoutMs).unref()
  })
  try {
    // Waits in ioredis' queue while Redis is still starting.
    await Promise.race([redis.ping(), timeout])
  } catch (cause) {
    redis.disconnect()
    throw new OperatorError(
      `Redis at ${new URL(url).host} does not answer: ${errorMessage(cause)}`,
      'Check REDIS_URL and that Redis is running. Without REDIS_URL heapferry starts a Redis of its own.',
      { cause },
    )
  }
  return redis
}

/**
 * A Redis that may evict keys loses chunks and checkpoints without an error.
 * @throws OperatorError unless its policy is noeviction; passes where the CONFIG command is forbidden (managed Redis)
 */
export async function assertNoEviction(redis: Redis): Promise<void> {
  let policy: unknown
  try {
    policy = await redis.config('GET', 'maxmemory-policy')
  } catch (error) {
    // Managed Redis services rename or forbid CONFIG. BullMQ itself warns of another policy by INFO.
    if (error instanceof Error && /unknown command|NOPERM|ERR/.test(error.message)) return
    throw error
  }
  const value = Array.isArray(policy) ? String(policy[1]) : undefined
  if (value === undefined || value === 'noeviction') return
  throw new OperatorError(
    `This Redis may throw away what it holds (maxmemory-policy is ${value})`,
    'Set maxmemory-policy to noeviction, or let heapferry start a Redis of its own (unset REDIS_URL).',
  )
}

/** What Redis holds, and how much it may; null where nothing limits it but the machine. */
export async function redisMemory(redis: Redis): Promise<{ usedBytes: number; maxBytes: number | null }> {
  const info = await redis.info('memory')
  const bytesOf = (field: string): number => Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  const maxBytes = bytesOf('maxmemory')
  return { usedBytes: bytesOf('used_memory'), maxBytes: maxBytes === 0 ? null : maxBytes }
}
