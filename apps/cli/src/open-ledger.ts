import { OperatorError, type Run, type RunId, visible } from '@heapferry/domain'
import { closeHome, type Logger, type Settings } from '@heapferry/config'
import {
  assertNoEviction,
  connectRedis,
  fetchedRedisServer,
  fetchRedisServer,
  NoRedisServer,
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

/** Connects to REDIS_URL, or to a Redis of heapferry's own, which is started again should it die meanwhile. */
export async function openLedger(settings: Settings, logger: Logger): Promise<OpenLedger> {
  sayWhatIsOpen(settings)
  const own = settings.REDIS_URL === undefined ? await openOwnRedis(settings.HEAPFERRY_HOME) : null
  const url = own?.url ?? settings.REDIS_URL ?? ''
  const onError = (error: Error): void => logger.warn({ err: error }, 'redis')
  const redis = await connectRedis(url, onError)
  const reviving = own && setInterval(() => revive(own, onError), reviveEveryMs)

  const close = async (): Promise<void> => {
    if (reviving) clearInterval(reviving)
    redis.disconnect()
    await own?.close()
  }
  try {
    await assertNoEviction(redis)
  } catch (error) {
    await close()
    throw error
  }
  return {
    ledger: redisLedger(redis),
    redis,
    url,
    close,
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
