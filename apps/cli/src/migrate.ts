import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger, Settings } from '@heapferry/config'
import { startDashboard } from '@heapferry/dashboard'
import { OperatorError, type RunId } from '@heapferry/domain'
import type { RunStatus } from '@heapferry/migration'
import { type Production, produce } from '@heapferry/producer'
import { readRunStatus } from '@heapferry/queue'
import { dashboardOptions } from './commands/dashboard.ts'
import { startLocalWorkers } from './local-workers.ts'
import type { OpenLedger } from './open-ledger.ts'
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
}

const lookEveryMs = 500

/**
 * Producer, workers and dashboard of one run in one command. Ends when the run is complete, or cannot go on by itself,
 * or is stopped; everything that it started has ended by then.
 * @returns the run's last status
 */
export async function migrate({
  production,
  opened,
  settings,
  workers,
  dashboard,
  view,
  logger,
  stop,
}: Migration): Promise<RunStatus> {
  const { ledger, queueOf, redis, url } = opened
  const { id } = production.run
  const status = (): Promise<RunStatus> => readRunStatus(id, ledger, (phase) => queueOf(id, phase))

  const page = dashboard ? await startPage() : null
  if (page) say(`Dashboard: ${page.url}`)
  const local = startLocalWorkers(workers, id, settings, url, logger)
  try {
    let fault: unknown
    let produced = false
    const producing = produce(production, {
      ledger,
      queueOf: (phase) => queueOf(id, phase),
      home: settings.HEAPFERRY_HOME,
    })
      .then(() => {
        produced = true
      })
      .catch((error: unknown) => {
        fault = error
      })
    for (;;) {
      const now = await status()
      view.show(now)
      if (fault !== undefined) throw fault
      const trouble = local.trouble()
      if (trouble !== null) throw new OperatorError(trouble, 'Mend what it says, then start the same command again.')
      if (stop.aborted || (produced && isOver(now)) || now.state === 'cancelled' || (await needsSomeone(id))) break
      await sleep(lookEveryMs, undefined, { signal: stop }).catch(() => {})
    }
    if (!stop.aborted) await producing
  } finally {
    view.end()
    await local.stop()
    await page?.close()
  }
  return status()

  /** A pause that heapferry made itself, because no worker could go on. */
  async function needsSomeone(run: RunId): Promise<boolean> {
    const intent = await ledger.intent(run)
    return intent.kind === 'pause' && intent.by === 'heapferry'
  }

  async function startPage() {
    const wanted = { redis, ledger, logger, allowActions: false, ...dashboardOptions(settings) }
    return startDashboard(wanted).catch((error: unknown) => {
      // Another run of this machine may have the port.
      if (error instanceof OperatorError && wanted.port !== 0) return startDashboard({ ...wanted, port: 0 })
      throw error
    })
  }
}

function isOver({ state }: RunStatus): boolean {
  return state === 'completed' || state === 'completed_with_rejected_rows' || state === 'failed'
}
