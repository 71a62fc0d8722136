import { once } from 'node:events'
import { Command } from 'commander'
import { createLogger } from '@heapferry/config'
import { startDashboard } from '@heapferry/dashboard'
import { dashboardOptions } from '../open-dashboard.ts'
import { openLedger } from '../open-ledger.ts'
import { settingsFrom } from '../options.ts'
import { say } from '../print.ts'
import { stopSignal } from '../stop-signal.ts'

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
      const { ledger, redis, url, close } = await openLedger(settings, logger, 'looks')
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
