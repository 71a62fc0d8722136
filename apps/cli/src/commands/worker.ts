import { hostname } from 'node:os'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import {
  createLogger,
  type Logger,
  requireDestination,
  s3OptionsOf,
  shownSettings,
  workStoreOf,
} from '@heapferry/config'
import { OperatorError, type RunId } from '@heapferry/domain'
import { preflight } from '@heapferry/posthog'
import { startWorker } from '@heapferry/worker'
import { keyCheckSkipped } from '../assert-reachable.ts'
import { exitCodes } from '../exit-codes.ts'
import { openLedger } from '../open-ledger.ts'
import { openTracing } from '../open-tracing.ts'
import { options, parseRunId, type ProjectFlags, settingsFrom } from '../options.ts'
import { serveHealth } from '../serve-health.ts'

export function workerCommand(command: Command): void {
  command
    .addOption(options.host())
    .addOption(options.apiKeyFile())
    .addOption(options.skipKeyCheck())
    .addOption(options.to())
    .option('--run <NAME>', 'work on this run only', parseRunId)
    .addHelpText(
      'after',
      `
A worker serves every run that goes to its project, or to its folder or bucket
(--to), until it is stopped. It needs what the producer has: the same Redis
(REDIS_URL), the export at the same place, the same HEAPFERRY_WORK_STORE (a
shared folder or s3://bucket/prefix; on one machine the same HEAPFERRY_HOME will
do), and the same HEAPFERRY_HASH_SALT where the mapping hashes.

SIGTERM and Ctrl-C hand its chunks over to other workers.`,
    )
    .action(work)
}

/** What handing chunks over may take: what is left of a request in flight (3 s at most) and its commit. */
export const handOverMs = 5000

const preflightEveryMs = 5000

/**
 * PostHog answers 200 to events with a key that no project has, and drops them: nothing is sent before it knows the key.
 * While PostHog is away the worker waits, as it would with its first batch.
 */
async function untilKeyIsKnown(project: {
  host: string
  apiKey: string
  logger: Logger
  signal: AbortSignal
}): Promise<void> {
  while (!project.signal.aborted) {
    const [first] = await preflight(project)
    if (!first) return
    if (first.unchecked) {
      project.logger.warn({ problem: first.problem }, first.hint)
      return
    }
    if (!first.mayPass) throw new OperatorError(first.problem, first.hint)
    project.logger.warn({ problem: first.problem }, 'waiting for PostHog before the first batch')
    await sleep(preflightEveryMs, undefined, { signal: project.signal }).catch(() => {})
  }
}

async function work(flags: ProjectFlags & { run?: RunId }): Promise<void> {
  const settings = settingsFrom(flags)
  const { destination, apiKey } = requireDestination(settings)
  const logger = createLogger({ level: settings.LOG_LEVEL, role: 'worker' })
  const stop = new AbortController()
  const ofRunCommand = process.send !== undefined
  process.on('SIGTERM', () => (stop.signal.aborted ? process.exit(exitCodes.stopped) : stop.abort()))
  // Ctrl-C reaches every process of the terminal; a worker of `heapferry run` waits until that tells it to end.
  process.on('SIGINT', () => !ofRunCommand && stop.abort())
  process.on('disconnect', () => stop.abort())
  // The command may have died while this process was starting.
  if (ofRunCommand && !process.connected) stop.abort()
  // Without Redis no chunk can be handed back; its lock runs out by itself.
  let forced: NodeJS.Timeout | undefined
  stop.signal.addEventListener('abort', () => {
    forced = setTimeout(() => process.exit(exitCodes.failed), handOverMs).unref()
  })

  const health = await serveHealth(settings.HEAPFERRY_HEALTH_PORT)
  if (destination.kind === 'posthog' && apiKey !== null) {
    if (settings.HEAPFERRY_SKIP_KEY_CHECK) logger.warn(keyCheckSkipped)
    else await untilKeyIsKnown({ host: destination.host, apiKey, logger, signal: stop.signal })
  }
  const { ledger, redis, close } = await openLedger(settings, logger, 'works')
  health.askFrom(redis)
  const { tracing, closeTracing } = await openTracing(settings, logger)
  const name = `${hostname()}:${process.pid}`
  const { HEAPFERRY_TRANSPORT: transport } = settings
  const worker = startWorker({
    name,
    redis,
    ledger,
    destination,
    apiKey,
    transport,
    hashSalt: settings.HEAPFERRY_HASH_SALT ?? null,
    store: workStoreOf(settings),
    s3: s3OptionsOf(settings),
    only: flags.run,
    tracing,
    logger,
  })
  logger.info({ name, settings: shownSettings(settings) }, 'worker started')
  if (!stop.signal.aborted) await once(stop.signal, 'abort')
  await worker.close()
  await closeTracing()
  health.close()
  await close()
  clearTimeout(forced)
  logger.info('worker ended')
}
