import { setTimeout as sleep } from 'node:timers/promises'
import {
  errorMessage,
  hostsOf,
  OperatorError,
  RedisAddress,
  type RedisRefusal,
  RedisRefused,
  redisUrlOf,
} from '@heapferry/domain'
import type { Redis as OneRedis } from 'ioredis'
import { probeKeys, runsKey } from './keys.ts'
import { createClient, type Redis } from './redis-client.ts'
import { refusalIn, refusalOf, toldError } from './refusal-of.ts'
import { type OnRefusal, tellRefusals, waitOutRefusals } from './refused-commands.ts'

/** How long a first connection may take before the user is told. */
const connectTimeoutMs = 10_000
const againAfterMs = 1000

/**
 * Connects, and waits until Redis answers. Later outages are ridden out: commands wait and are sent when Redis is back.
 * The address of any node is enough for a cluster.
 *
 * @param url as `RedisAddress` says it
 * @param onRefusal whoever gives it works on runs: commands that Redis refuses, now or later, wait until it does them.
 * Without it they end with RedisRefused.
 * @throws OperatorError when Redis does not answer, refuses the password, or is none that heapferry can use
 */
export async function connectRedis(
  url: string,
  onError: (error: Error) => void,
  onRefusal?: OnRefusal,
): Promise<Redis> {
  const address = RedisAddress.parse(url)
  const redis = createClient(address)
  let lastError: Error | undefined
  const noteError = (error: Error): void => {
    // ioredis says at the end that nobody answered, after it said of each why.
    if (lastError === undefined || !/^(?:All sentinels|Failed to refresh)/.test(error.message)) lastError = error
    onError(error)
  }
  for (const event of ['error', 'sentinelError', 'node error']) redis.on(event, noteError)
  let isNode = false
  try {
    await untilAnswering(redis, () => lastError, onRefusal)
    isNode = await isNodeOfCluster(redis)
    if (!isNode) {
      await untilUsable(redis, address, onRefusal)
      await assertNoEviction(redis, onError)
    }
  } catch (cause) {
    redis.disconnect()
    if (cause instanceof OperatorError) throw cause
    const told = toldError(cause)
    if (told instanceof OperatorError) throw told
    throw new OperatorError(`Redis at ${hostsOf(address)} does not answer: ${errorMessage(cause)}`, hintFor(address), {
      cause,
    })
  }
  if (isNode) {
    redis.disconnect()
    return connectRedis(redisUrlOf({ ...address, kind: 'cluster' }), onError, onRefusal)
  }
  if (onRefusal === undefined) tellRefusals(redis)
  else waitOutRefusals(redis, onRefusal)
  return redis
}

function hintFor({ kind, isEncrypted }: RedisAddress): string[] {
  return [
    'Check REDIS_URL and that Redis is running. Without REDIS_URL heapferry starts a Redis of its own.',
    ...(kind === 'sentinel'
      ? ['Its hosts are Sentinels, and ?name= is what they call the Redis: SENTINEL masters tells.']
      : []),
    ...(isEncrypted
      ? [
          'Its certificate has to be of an authority that REDIS_TLS_CA names; some ask for REDIS_TLS_CERT and REDIS_TLS_KEY too.',
        ]
      : []),
  ]
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

/** `standalone`, `sentinel` or `cluster`, as a Redis or a Valkey tells it. */
async function modeOf(redis: Redis): Promise<string | undefined> {
  return /^(?:redis|server)_mode:(\w+)/m.exec(await redis.info('server'))?.[1]
}

/**
 * Whether this is a connection to a node of a cluster, and to no other one.
 * @throws OperatorError where the cluster is not whole
 */
async function isNodeOfCluster(redis: Redis): Promise<boolean> {
  if (redis.isCluster || (await modeOf(redis)) !== 'cluster') return false
  const state = /^cluster_state:(\w+)/m.exec(await redis.cluster('INFO'))?.[1]
  if (state !== 'ok') throw new RedisRefused('cluster', `cluster_state:${state}`)
  return true
}

/** What does not pass while a command waits: somebody has to give it another Redis, or another user there. */
const needsAnother: readonly RedisRefusal[] = ['read_only', 'forbidden', 'cluster']

/** @throws OperatorError where heapferry cannot use this Redis as it is set up */
async function untilUsable(redis: Redis, address: RedisAddress, onRefusal: OnRefusal | undefined): Promise<void> {
  for (;;) {
    const refused = await refusalAtStart(redis, address)
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
  address: RedisAddress,
): Promise<{ refusal: RedisRefusal; got: string; isOfWrites: boolean } | null> {
  try {
    if ((await modeOf(redis)) === 'sentinel') {
      throw new OperatorError(
        `${hostsOf(address)} is a Sentinel, which holds no data`,
        'Set REDIS_URL to redis+sentinel://HOST:26379,HOST:26379?name=NAME, where NAME is what SENTINEL masters tells; or to the Redis that it watches: redis-cli -p PORT SENTINEL get-master-addr-by-name NAME tells where that is now.',
      )
    }
    // Known to Redis before or not, it is looked at whether its user may.
    await redis.evalsha('0'.repeat(40), 0).catch((error: unknown) => {
      if (refusalOf(error) !== null) throw error
    })
    for (const key of probeKeys) {
      const got = String(await redis.eval(writeProbe, 1, key))
      const refusal = refusalIn(got)
      if (refusal !== null) return { refusal, got, isOfWrites: true }
    }
    return null
  } catch (error) {
    const refusal = refusalOf(error)
    if (refusal === null || !(error instanceof Error)) throw toldError(error)
    return { refusal, got: error.message, isOfWrites: false }
  }
}

/** A write that would change nothing. Answers with what words it is refused. */
const writeProbe = `
local tried = redis.pcall('SET', KEYS[1], '', 'XX')
return type(tried) == 'table' and tried.err or ''`

/**
 * A Redis that may evict keys loses chunks and checkpoints without an error.
 * @throws OperatorError unless its policy is noeviction; where it does not tell its policy, that is said, and it goes on
 */
async function assertNoEviction(redis: Redis, onError: (error: Error) => void): Promise<void> {
  const policies = await Promise.all(primariesOf(redis).map(evictionPolicy))
  const evicting = policies.find((policy) => policy !== 'noeviction' && policy !== null)
  if (evicting !== undefined) {
    throw new OperatorError(
      `This Redis may throw away what it holds (maxmemory-policy is ${evicting})`,
      'Set maxmemory-policy to noeviction, or let heapferry start a Redis of its own (unset REDIS_URL).',
    )
  }
  if (policies.includes(null))
    onError(
      new Error(
        'this Redis tells its maxmemory-policy neither by INFO nor by CONFIG: see to it that it is noeviction, or chunks and checkpoints can be lost',
      ),
    )
}

/** Null where it does not tell. */
async function evictionPolicy(node: OneRedis): Promise<string | null> {
  const told = /^maxmemory_policy:(\S+)/m.exec(await node.info('memory'))?.[1]
  if (told !== undefined) return told
  try {
    const answer: unknown = await node.config('GET', 'maxmemory-policy')
    return Array.isArray(answer) && answer.length > 1 ? String(answer[1]) : null
  } catch (error) {
    // Managed Redis services rename or forbid CONFIG.
    if (error instanceof Error && /unknown command|NOPERM|ERR/.test(error.message)) return null
    throw error
  }
}

function primariesOf(redis: Redis): OneRedis[] {
  return 'nodes' in redis ? redis.nodes('master') : [redis]
}

/** What Redis holds, and how much it may; null where nothing limits it but the machine. Of a cluster, the fullest node. */
export async function redisMemory(redis: Redis): Promise<{ usedBytes: number; maxBytes: number | null }> {
  const nodes = await Promise.all(primariesOf(redis).map(memoryOf))
  const fullness = ({ usedBytes, maxBytes }: Awaited<ReturnType<typeof memoryOf>>): number =>
    maxBytes === null ? 0 : usedBytes / maxBytes
  const [fullest] = nodes.toSorted((a, b) => fullness(b) - fullness(a) || b.usedBytes - a.usedBytes)
  return fullest ?? { usedBytes: 0, maxBytes: null }
}

async function memoryOf(node: OneRedis): Promise<{ usedBytes: number; maxBytes: number | null }> {
  const info = await node.info('memory')
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

const facts = [
  'redis_version,valkey_version,server_name,redis_mode,server_mode,os,arch_bits,uptime_in_seconds,io_threads_active',
  'connected_clients,blocked_clients,maxclients,used_memory,used_memory_peak,used_memory_rss,maxmemory,maxmemory_policy',
  'mem_fragmentation_ratio,loading,aof_enabled,aof_last_write_status,aof_last_bgrewrite_status,rdb_last_bgsave_status',
  'rdb_changes_since_last_save,total_connections_received,total_commands_processed,instantaneous_ops_per_sec',
  'rejected_connections,expired_keys,evicted_keys,total_error_replies,role,connected_slaves,master_link_status',
  'used_cpu_sys,used_cpu_user,cluster_enabled',
].flatMap((line) => line.split(','))

/** What every primary says of its version, memory, persistence and refusals; nothing that names a machine or a path. */
export async function redisFacts(redis: Redis): Promise<Record<string, string>[]> {
  return Promise.all(primariesOf(redis).map(factsOf))
}

async function factsOf(node: OneRedis): Promise<Record<string, string>> {
  const info = await node.info()
  const all = new Map([...info.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, field = '', value = '']) => [field, value]))
  const told = [...all].filter(([field]) => facts.includes(field) || /^errorstat_[A-Z]+$/.test(field))
  return Object.fromEntries(told)
}
