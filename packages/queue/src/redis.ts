import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage, OperatorError, type RedisRefusal, RedisRefused } from '@heapferry/domain'
import { Redis } from 'ioredis'
import { probeKey, queuePrefix, runsKey } from './keys.ts'
import { refusalIn, refusalOf, toldError } from './refusal-of.ts'
import { type OnRefusal, tellRefusals, waitOutRefusals } from './refused-commands.ts'

/** How long a first connection may take before the user is told. */
const connectTimeoutMs = 10_000
/**
 * A connection whose other side is silently gone is given up, and made anew, when an answer takes longer. Nothing that is
 * asked may wait so long: BullMQ's workers block for a second at a time.
 */
const answerTimeoutMs = 15_000
const againAfterMs = 1000

/**
 * Connects, and waits until Redis answers. Later outages are ridden out: commands wait and are sent when Redis is back.
 *
 * @param onRefusal whoever gives it works on runs: commands that Redis refuses, now or later, wait until it does them.
 * Without it they end with RedisRefused.
 * @throws OperatorError when Redis does not answer, refuses the password, or is none that heapferry can use
 */
export async function connectRedis(
  url: string,
  onError: (error: Error) => void,
  onRefusal?: OnRefusal,
): Promise<Redis> {
  const redis = new Redis(url, {
    // BullMQ demands it of workers: a command must not give up while Redis restarts.
    maxRetriesPerRequest: null,
    // ioredis' own grows to 5 s, BullMQ's to 20 s: a worker would idle for so long after Redis is back.
    retryStrategy: (attempt) => Math.min(100 * 2 ** Math.min(attempt, 10), 2000),
    maxLoadingRetryTime: 1000,
    socketTimeout: answerTimeoutMs,
  })
  let lastError: Error | undefined
  redis.on('error', (error) => {
    lastError = error
    onError(error)
  })
  const { host } = new URL(url)
  try {
    await untilAnswering(redis, () => lastError, onRefusal)
    await untilUsable(redis, host, onRefusal)
    await assertNoEviction(redis)
  } catch (cause) {
    redis.disconnect()
    if (cause instanceof OperatorError) throw cause
    if (cause instanceof Error && cause.message.startsWith('NOPERM')) throw toldError(cause)
    throw new OperatorError(
      `Redis at ${host} does not answer: ${errorMessage(cause)}`,
      'Check REDIS_URL and that Redis is running. Without REDIS_URL heapferry starts a Redis of its own.',
      { cause },
    )
  }
  if (onRefusal === undefined) tellRefusals(redis)
  else waitOutRefusals(redis, onRefusal)
  return redis
}

/** Waits in ioredis' queue while Redis is still starting. While it loads its data, it is waited for by those who work. */
async function untilAnswering(
  redis: Redis,
  lastError: () => Error | undefined,
  onRefusal: OnRefusal | undefined,
): Promise<void> {
  const answer = redis.ping().then(() => 'ready' as const)
  for (;;) {
    const timeout = new AbortController()
    const late = sleep(connectTimeoutMs, 'late' as const, timeout).catch(() => 'late' as const)
    const first = await Promise.race([answer, late]).finally(() => timeout.abort())
    if (first === 'ready') return
    if (!(await isLoading(redis))) throw new Error(lastError()?.message ?? 'no answer')
    const got = 'loading:1'
    if (onRefusal === undefined) throw new RedisRefused('loading', got)
    onRefusal('loading', got)
  }
}

async function isLoading(redis: Redis): Promise<boolean> {
  // The one command that ioredis lets pass before Redis is ready; without a connection it waits like all others.
  const info = redis.status === 'connect' ? redis.info('persistence') : null
  const text = await Promise.race([info, sleep(againAfterMs, '', { ref: false })]).catch(() => '')
  return /^loading:1/m.test(text ?? '')
}

/** What does not pass while a command waits: somebody has to give it another Redis, or another user there. */
const needsAnother: readonly RedisRefusal[] = ['read_only', 'forbidden', 'cluster']

/** @throws OperatorError where heapferry cannot use this Redis as it is set up */
async function untilUsable(redis: Redis, host: string, onRefusal: OnRefusal | undefined): Promise<void> {
  for (;;) {
    const refused = await refusalAtStart(redis, host)
    if (refused === null) return
    const { refusal, got, isOfWrites } = refused
    const passes = !needsAnother.includes(refusal)
    // Who only looks can do so where nothing may be written; who works is to wait for what passes by itself.
    if (isOfWrites && (passes || onRefusal === undefined)) return
    if (!passes || onRefusal === undefined) throw new RedisRefused(refusal, got)
    onRefusal(refusal, got)
    await sleep(againAfterMs)
  }
}

/**
 * What this Redis would refuse, asked before the first run is touched.
 * @throws OperatorError where it is a Sentinel
 */
async function refusalAtStart(
  redis: Redis,
  host: string,
): Promise<{ refusal: RedisRefusal; got: string; isOfWrites: boolean } | null> {
  try {
    const mode = /^redis_mode:(\w+)/m.exec(await redis.info('server'))?.[1]
    if (mode === 'sentinel') {
      throw new OperatorError(
        `${host} is a Sentinel, which holds no data`,
        'Set REDIS_URL to the Redis that it watches: redis-cli -p PORT SENTINEL get-master-addr-by-name NAME tells where.',
      )
    }
    if (mode === 'cluster') return { refusal: 'cluster', got: 'redis_mode:cluster', isOfWrites: false }
    // Known to Redis before or not, it is looked at whether its user may.
    await redis.evalsha('0'.repeat(40), 0).catch((error: unknown) => {
      if (refusalOf(error) !== null) throw error
    })
    const got = String(await redis.eval(writeProbe, 2, probeKey, `${queuePrefix}:probe`))
    const refusal = refusalIn(got)
    return refusal === null ? null : { refusal, got, isOfWrites: true }
  } catch (error) {
    const refusal = refusalOf(error)
    if (refusal === null || !(error instanceof Error)) throw toldError(error)
    return { refusal, got: error.message, isOfWrites: false }
  }
}

/** Writes that would change nothing, below both beginnings of all keys. Answers with what words one is refused. */
const writeProbe = `
for _, key in ipairs(KEYS) do
  local tried = redis.pcall('SET', key, '', 'XX')
  if type(tried) == 'table' and tried.err then return tried.err end
end
return ''`

/**
 * A Redis that may evict keys loses chunks and checkpoints without an error.
 * @throws OperatorError unless its policy is noeviction; passes where the CONFIG command is forbidden (managed Redis)
 */
async function assertNoEviction(redis: Redis): Promise<void> {
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

const answerSoonMs = 2000

/**
 * Whether runs can be read now. Without an answer ioredis holds commands back until Redis is there again, for as long as
 * it takes; a page should rather say so.
 */
export async function redisAnswer(
  redis: Redis,
): Promise<{ kind: 'data' } | { kind: 'refused'; refusal: RedisRefusal } | { kind: 'none' }> {
  const none = { kind: 'none' } as const
  if (redis.status !== 'ready') return (await isLoading(redis)) ? { kind: 'refused', refusal: 'loading' } : none
  const answer = redis.exists(runsKey).then(
    () => ({ kind: 'data' }) as const,
    (error: unknown) => (error instanceof RedisRefused ? ({ kind: 'refused', refusal: error.refusal } as const) : none),
  )
  return Promise.race([answer, sleep(answerSoonMs, none, { ref: false })])
}
