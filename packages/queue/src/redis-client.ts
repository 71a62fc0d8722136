import { readFileSync } from 'node:fs'
import { errorMessage, OperatorError, type RedisAddress, redisUrlOf } from '@heapferry/domain'
import { Cluster, Redis as OneRedis, type RedisOptions } from 'ioredis'

/** One Redis, or a cluster, in which each command goes to the node that has its keys. */
export type Redis = OneRedis | Cluster

/**
 * A connection whose other side is silently gone is given up, and made anew, when an answer takes longer. Nothing that is
 * asked may wait so long: BullMQ's workers block for a second at a time.
 */
const answerTimeoutMs = 15_000
// A Sentinel that is silently gone is passed over for the next one.
const sentinelTimeoutMs = 3000

// ioredis' own grows to 5 s, BullMQ's to 20 s: a worker would idle for so long after Redis is back.
const retryStrategy = (attempt: number): number => Math.min(100 * 2 ** Math.min(attempt, 10), 2000)

/** The one place that makes connections. They are made in the background; what is asked meanwhile waits. */
export function createClient(address: RedisAddress): Redis {
  const { kind, hosts, rest } = address
  const tls = tlsOf(address)
  const options = {
    // BullMQ demands it of workers: a command must not give up while Redis restarts.
    maxRetriesPerRequest: null,
    maxLoadingRetryTime: 1000,
    socketTimeout: answerTimeoutMs,
    ...(tls && { tls }),
  } satisfies RedisOptions
  const asked = (name: string): string | null => rest.searchParams.get(name)
  const username = textOf(rest.username) ?? asked('username')
  const password = textOf(rest.password) ?? asked('password')
  const login = { ...(username !== null && { username }), ...(password !== null && { password }) }
  switch (kind) {
    case 'single':
      return new OneRedis(redisUrlOf({ ...address, rest: withoutOurs(rest) }), { ...options, retryStrategy })
    case 'sentinel':
      return new OneRedis({
        ...options,
        ...login,
        db: Number(rest.pathname.slice(1)),
        retryStrategy,
        sentinels: [...hosts],
        name: asked('name') ?? '',
        sentinelUsername: asked('sentinelUsername') ?? '',
        sentinelPassword: asked('sentinelPassword') ?? '',
        connectTimeout: sentinelTimeoutMs,
        sentinelCommandTimeout: sentinelTimeoutMs,
        ...(tls && { sentinelTLS: tls, enableTLSForSentinelMode: true }),
      })
    case 'cluster':
      return new Cluster([...hosts], {
        redisOptions: { ...options, ...login },
        clusterRetryStrategy: retryStrategy,
        // ioredis would look hosts up first and connect to their addresses, which no certificate names.
        dnsLookup: (host, found) => found(null, host),
        slotsRefreshTimeout: 5000,
      })
  }
}

const ours = ['tlsCa', 'tlsCert', 'tlsKey']

function withoutOurs(rest: URL): URL {
  const url = new URL(rest)
  for (const name of ours) if (url.searchParams.has(name)) url.searchParams.delete(name)
  return url
}

/** @throws OperatorError where a file cannot be read */
function tlsOf({ isEncrypted, rest }: RedisAddress): { ca?: string; cert?: string; key?: string } | undefined {
  if (!isEncrypted) return undefined
  const [ca, cert, key] = ours.map((name) => pemAt(rest.searchParams.get(name)))
  return { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) }
}

function pemAt(file: string | null): string | undefined {
  if (file === null) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new OperatorError(
      `${file}, for the TLS of Redis, cannot be read: ${errorMessage(cause)}`,
      'Set REDIS_TLS_CA, REDIS_TLS_CERT and REDIS_TLS_KEY to files in PEM that this user may read.',
      { cause },
    )
  }
}

function textOf(encoded: string): string | null {
  return encoded === '' ? null : decodeURIComponent(encoded)
}
