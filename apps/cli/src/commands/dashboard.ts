import { once } from 'node:events'
import { Command } from 'commander'
import { createLogger, s3OptionsOf, type Settings } from '@heapferry/config'
import { type DashboardOptions, startDashboard } from '@heapferry/dashboard'
import { OperatorError } from '@heapferry/domain'
import { openLedger } from '../open-ledger.ts'
import { settingsFrom } from '../options.ts'
import { say } from '../print.ts'
import { spawnRetry } from '../spawn-retry.ts'
import { stopSignal } from '../stop-signal.ts'
import { version } from '../version.ts'

export function dashboardCommand(command: Command): void {
  command
    .addHelpText(
      'after',
      `
Listens at HEAPFERRY_DASHBOARD_HOST and HEAPFERRY_DASHBOARD_PORT
(127.0.0.1:3700). Anywhere but on loopback it wants HEAPFERRY_DASHBOARD_PASSWORD:
operators sign in with it, viewers with HEAPFERRY_DASHBOARD_VIEWER_PASSWORD.`,
    )
    .action(async () => {
      const settings = settingsFrom({})
      const logger = createLogger({ level: settings.LOG_LEVEL, role: 'dashboard' })
      const { ledger, redis, url, close } = await openLedger(settings, logger)
      try {
        const dashboard = await startDashboard(dashboardOptions(settings, url, { redis, ledger, logger }))
        say(`Dashboard: ${dashboard.url}  (Ctrl-C ends it)`)
        const stop = stopSignal('Stopping.')
        if (!stop.aborted) await once(stop, 'abort')
        await dashboard.close()
      } finally {
        await close()
      }
    })
}

export function dashboardOptions(
  settings: Settings,
  redisUrl: string,
  served: Pick<DashboardOptions, 'redis' | 'ledger' | 'logger'>,
): DashboardOptions {
  const { HEAPFERRY_DASHBOARD_PASSWORD: operator, HEAPFERRY_DASHBOARD_VIEWER_PASSWORD: viewer } = settings
  if (operator === undefined && viewer !== undefined) {
    throw new OperatorError(
      'HEAPFERRY_DASHBOARD_VIEWER_PASSWORD is set and HEAPFERRY_DASHBOARD_PASSWORD is not',
      'Set both: without a password of operators, nobody could act.',
    )
  }
  return {
    ...served,
    host: settings.HEAPFERRY_DASHBOARD_HOST,
    port: settings.HEAPFERRY_DASHBOARD_PORT,
    s3: s3OptionsOf(settings),
    version,
    retry: spawnRetry(settings, redisUrl, served),
    passwords: operator === undefined ? null : { operator, viewer: viewer ?? null },
  }
}
