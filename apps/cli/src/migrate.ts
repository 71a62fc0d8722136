import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger, onceAMinute, s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import { OperatorError, type Phase, visible } from '@heapferry/domain'
import { readRun, readRunStatus, type RunStatus } from '@heapferry/migration'
import { type Production, produce } from '@heapferry/producer'
import { type ChunkQueue, connectRedis, redisLedger } from '@heapferry/queue'
import { type LocalWorkers, startLocalWorkers } from './local-workers.ts'
import { openWorkStore } from '@heapferry/sources'
import type { OpenLedger } from './open-ledger.ts'
import { openQueues } from './open-queues.ts'
import { openScratch } from './open-scratch.ts'
import { say } from './print.ts'
import type { ProgressView } from './progress-view.ts'

export interface Migration {
  production: Production
  opened: OpenLedger
  settings: Settings
  workers: number
  dashboard: boolean
  view: ProgressView
  logger: Logger
  stop: AbortSignal
  /** Awaited when the run is over, before the dashboard closes. */
  whenOver?: () => Promise<void>
}

const lookEveryMs = 500
const lastLookMs = 2000
const producerEndsMs = 3000
// So many looks at a queue that has nothing to do: a worker takes a finished chunk out before the ledger is read.
const quietLooksUntilStuck = 4

/**
 * Producer, workers and dashboard of one run in one command. Ends when the run is complete, or cannot go on by itself,
 * or is stopped; everything that it started has ended by then.
 * @returns the run's last status; null when it was stopped while Redis was away
 * @throws OperatorError when a person is needed
 */
export async function migrate(migration: Migration): Promise<RunStatus | null> {
  const { production, opened, settings, workers, dashboard, view, logger } = migration
  const { id } = production.run
  const page = dashboard ? await servePage(migration) : null
  if (page) say(`Dashboard: ${page.url}`)
  const local = startLocalWorkers(workers, { run: id, settings, redisUrl: opened.url, logger })
  const queues = openQueues(opened.redis, id, logger)
  try {
    while ((await untilOver(migration, local, queues.queueOf)) === 'stuck') {
      // Somebody emptied the queue. The ledger knows what is done, and planning again enqueues the rest.
      logger.warn({ run: id }, 'chunks are neither done nor in the queue: planning again')
    }
    view.end()
    await migration.whenOver?.()
  } finally {
    view.end()
    await local.stop()
    await queues.close()
    await page?.close()
  }
  return unlessAborted(readRunStatus(id, opened.ledger), AbortSignal.timeout(lastLookMs))
}

/** Produces, and looks at the run until it is over, stuck (nothing is left in the queue and still not all done) or stopped. */
async function untilOver(
  migration: Migration,
  local: LocalWorkers,
  queueOf: (phase: Phase) => ChunkQueue,
): Promise<'over' | 'stuck'> {
  const { production, opened, settings, view, stop } = migration
  const enough = new AbortController()
  const scratch = openScratch(path.join(settings.HEAPFERRY_HOME, 'runs', production.run.id))
  const producing = produce(production, {
    ledger: opened.ledger,
    queueOf,
    store: await openWorkStore(workStoreOf(settings), s3OptionsOf(settings)),
    scratch,
    signal: AbortSignal.any([enough.signal, stop]),
    onNotice(notice) {
      view.end()
      say(visible(notice))
    },
  })
  let produced = false
  const outcome = (async () => {
    try {
      await producing
      produced = true
    } finally {
      await scratch.close()
    }
  })()
  // A fault of the producer ends the command at the next look, not before the status of that look is shown.
  outcome.catch(() => {})

  let quietLooks = 0
  try {
    for (;;) {
      const allPlanned = produced
      // While Redis is away it is waited for, but not by someone who wants to stop.
      const looked = await unlessAborted(look(migration), stop)
      if (looked === null) break
      view.show(looked.status)
      const trouble = local.trouble()
      if (trouble !== null) throw new OperatorError(trouble, 'Mend what it says, then start the same command again.')
      if (looked.needsSomeone || (allPlanned && looked.hasEnded)) break
      quietLooks = allPlanned && looked.isQuiet ? quietLooks + 1 : 0
      if (quietLooks >= quietLooksUntilStuck) return 'stuck'
      const pause = sleep(lookEveryMs, undefined, { signal: stop }).catch(() => {})
      await (allPlanned ? pause : Promise.race([outcome, pause]))
    }
  } finally {
    enough.abort()
  }
  await unlessAborted(outcome, stop)
  // It ends what a warehouse does for it. What it does not leave, as where Redis is away, ends with the process, and loses nothing.
  await Promise.race([outcome.catch(() => {}), sleep(producerEndsMs, undefined, { ref: false })])
  return 'over'
}

async function look(migration: Migration) {
  const { ledger } = migration.opened
  const { id } = migration.production.run
  if ((await ledger.run(id)) === null) {
    throw new OperatorError(
      `Redis does not know the run ${id} any more: it was emptied`,
      'Start the same command again. All is sent once more under the same uuids, so PostHog keeps one of each event.',
    )
  }
  const { status, progress, queue } = await readRun(id, ledger)
  const { intent } = progress
  const hasEnded = ['completed', 'completed_with_rejected_rows', 'failed', 'cancelled'].includes(status.state)
  return {
    status,
    hasEnded,
    // A pause that heapferry made itself because no worker could go on, or a person's end of the run.
    needsSomeone: intent.kind === 'cancel' || (intent.kind === 'pause' && intent.by === 'heapferry'),
    isQuiet: !hasEnded && intent.kind === 'run' && queue.waiting + queue.active + queue.failed === 0,
  }
}

/** Null when the signal comes first. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | null> {
  const settled = new AbortController()
  const aborted = once(signal, 'abort', { signal: settled.signal }).then(
    () => null,
    () => null,
  )
  try {
    return signal.aborted ? null : await Promise.race([promise, aborted])
  } finally {
    settled.abort()
  }
}

/** Loaded when it is wanted: its libraries take longer than all else that a run starts with. */
async function servePage({ opened: { url }, settings, logger }: Migration) {
  const { openDashboard } = await import('./open-dashboard.ts')
  // Of its own: a page tells what Redis refuses, where the run waits.
  const redis = await connectRedis(
    url,
    onceAMinute((error) => logger.warn({ err: error }, 'redis')),
  )
  const page = await openDashboard(settings, url, { redis, ledger: redisLedger(redis), logger })
  return {
    url: page.url,
    async close() {
      await page.close()
      redis.disconnect()
    },
  }
}
