import path from 'node:path'
import { type Run, RunId } from '@heapferry/domain'
import { type FakePostHog, startFakePostHog } from '@heapferry/fake-posthog'
import { isRunComplete } from '@heapferry/migration'
import {
  connectRedis,
  openPrivateRedis,
  type PrivateRedis,
  type Redis,
  type RedisLedger,
  redisLedger,
} from '@heapferry/queue'
import { onTestFinished } from 'vitest'
import { temporaryFolder } from './folder.ts'
import type { HeapferryProcess } from './heapferry.ts'
import { serverCandidates } from './server-candidates.ts'
import { serviceManager } from './service-manager.ts'

const apiKey = 'phc_crew0000000000000000000000000000000000000000'

/**
 * A producer and workers as processes of their own, as on several machines, each replaced when it dies, the way a
 * service manager does it; with a Redis and a stand-in for PostHog that the test can hurt.
 */
export interface Crew {
  folder: string
  home: string
  run: RunId
  posthog: FakePostHog
  /** Where the test has given none. */
  readonly redisServer: PrivateRedis
  ledger: RedisLedger
  producer(): HeapferryProcess | undefined
  workers(): HeapferryProcess[]
  /** How often a process was replaced after it died. */
  replaced: { producer: number; worker: number }
  /** What processes said that ended without being killed or told to. */
  lastWords: string[]
  /** @param flags of the producer, beyond source and run */
  start(source: string, workers: number, flags?: string[]): void
  isComplete(): Promise<boolean>
  stop(): Promise<void>
}

/**
 * @param settings of the processes, beside those that make them meet
 * @param redisUrl of a Redis that the test has set up
 */
export async function crew(settings: Record<string, string> = {}, redisUrl?: string): Promise<Crew> {
  const folder = await temporaryFolder()
  const home = path.join(folder, 'home')
  const run = RunId.parse('crew')
  const posthog = await startFakePostHog({ apiKey, keep: 'ids' })
  const own = redisUrl === undefined ? await openPrivateRedis({ home, serverCandidates }) : null
  const urlNow = (): string => own?.url ?? redisUrl ?? ''
  const redis: Redis = await connectRedis(
    urlNow(),
    () => {},
    () => {},
  )
  const ledger = redisLedger(redis)
  const { keepRunning, of, replaced, lastWords, stop } = serviceManager(folder, () => ({
    ...settings,
    POSTHOG_HOST: posthog.url,
    POSTHOG_API_KEY: apiKey,
    HEAPFERRY_HOME: home,
    REDIS_URL: urlNow(),
  }))
  onTestFinished(async () => {
    await stop()
    redis.disconnect()
    await own?.close()
    await posthog.stop()
  })

  return {
    folder,
    home,
    run,
    posthog,
    get redisServer() {
      if (own === null) throw new Error('the test has a Redis of its own')
      return own
    },
    ledger,
    producer: () => of('producer')[0],
    workers: () => of('worker'),
    replaced,
    lastWords,
    start(source, workers, flags = []) {
      keepRunning('producer', ['enqueue', source, '--run', run, ...flags])
      for (let started = 0; started < workers; started++) keepRunning('worker', ['worker', '--run', run])
    },
    async isComplete() {
      const stored: Run | null = await ledger.run(run)
      return stored !== null && isRunComplete(await ledger.progress(run))
    },
    stop,
  }
}
