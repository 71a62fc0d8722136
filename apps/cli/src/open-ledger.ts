import { OperatorError, redisRefusalTexts, type Run, type RunId, visible } from '@heapferry/domain'
import { closeHome, type Logger, onceAMinute, type Settings } from '@heapferry/config'
import {
  connectRedis,
  fetchedRedisServer,
  fetchRedisServer,
  NoRedisServer,
  type OnRefusal,
  openPrivateRedis,
  type PrivateRedis,
  type Redis,
  type RedisLedger,
  redisLedger,
} from '@heapferry/queue'
import { programsFolder } from './installation.ts'
import { say } from './print.ts'

/** The ledger with all that lies behind it. */
export interface OpenLedger {
  ledger: RedisLedger
  redis: Redis
  url: string
  close(): Promise<void>
}

const reviveEveryMs = 1000

/**
 * Connects to REDIS_URL, or to a Redis of heapferry's own, which is started again should it die meanwhile.
 * @param who what Redis refuses (full, read-only, …) waits until it is possible where somebody `works` on runs, and ends
 * the command with the reason where somebody `looks` at one or changes one
 */
export async function openLedger(settings: Settings, logger: Logger, who: 'works' | 'looks'): Promise<OpenLedger> {
  sayWhatIsOpen(settings)
  const own = settings.REDIS_URL === undefined ? await openOwnRedis(settings.HEAPFERRY_HOME) : null
  const url = own?.url ?? settings.REDIS_URL ?? ''
  const onError = onceAMinute((error) => logger.warn({ err: error }, 'redis'))
  const redis = await connectRedis(url, onError, who === 'works' ? refusalsTo(logger) : undefined).catch(
    async (error: unknown) => {
      await own?.close()
      throw error
    },
  )
  const reviving = own && setInterval(() => revive(own, onError), reviveEveryMs)
  return {
    ledger: redisLedger(redis),
    redis,
    url,
    async close() {
      if (reviving) clearInterval(reviving)
      redis.disconnect()
      await own?.close()
    },
  }
}

function refusalsTo(logger: Logger): OnRefusal {
  return (refusal, got) => {
    if (refusal === null) return logger.info('Redis does again what it is told')
    const { problem, hint } = redisRefusalTexts[refusal]
    logger.warn({ got, hint }, `${problem}: waiting, and going on by itself`)
  }
}

function sayWhatIsOpen({ HEAPFERRY_HOME: home }: Settings): void {
  const [first, ...more] = closeHome(home)
  if (first === undefined) return
  const others = more.length === 0 ? '' : ` and ${more.length} more files and folders of runs`
  say(
    visible(
      `Others on this machine may read ${first}${others}: their modes cannot be changed. Have their owner do it, or choose another HEAPFERRY_HOME.`,
    ),
  )
}

/** A Redis of heapferry's own; where this machine has no redis-server, one is fetched. */
async function openOwnRedis(home: string): Promise<PrivateRedis> {
  // No other folder is looked in: a server that somebody else has left there would be run.
  const wanted = { home, serverCandidates: ['redis-server', 'valkey-server', fetchedRedisServer(programsFolder)] }
  try {
    return await openPrivateRedis(wanted)
  } catch (error) {
    if (!(error instanceof NoRedisServer)) throw error
    await fetchRedisServer(programsFolder, say)
    return openPrivateRedis(wanted)
  }
}

function revive(own: PrivateRedis, onError: (error: Error) => void): void {
  own.ensure().catch((error: unknown) => onError(error instanceof Error ? error : new Error(String(error))))
}

/**
 * The run of that name, or the newest.
 * @throws OperatorError when there is none
 */
export async function findRun(ledger: RedisLedger, name: RunId | undefined): Promise<Run> {
  const run = name === undefined ? (await ledger.runs())[0] : await ledger.run(name)
  if (run) return run
  if (name === undefined)
    throw new OperatorError('There is no run yet', 'Start one with `heapferry run SOURCE`, or see `heapferry demo`.')
  const known = (await ledger.runs()).map(({ id }) => id)
  throw new OperatorError(
    `There is no run ${name}`,
    known.length === 0 ? 'There is no run yet.' : `Known runs: ${known.slice(0, 10).join(', ')}.`,
  )
}
