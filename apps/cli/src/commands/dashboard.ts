import { once } from 'node:events'
import { Command, Option } from 'commander'
import { createLogger, type Settings } from '@heapferry/config'
import { openLedger } from '../open-ledger.ts'
import { settingsFrom } from '../options.ts'
import { say } from '../print.ts'
import { stopSignal } from '../stop-signal.ts'

export function dashboardCommand(): Command {
  return new Command('dashboard')
    .description('serve the run page and Bull Board')
    .addOption(
      new Option('--allow-actions', 'let Bull Board retry and remove chunks; else it only shows').default(false),
    )
    .addHelpText(
      'after',
      `
Listens at HEAPFERRY_DASHBOARD_HOST and HEAPFERRY_DASHBOARD_PORT
(127.0.0.1:3700). Anywhere but on loopback it wants HEAPFERRY_DASHBOARD_PASSWORD,
and asks for it with the name HEAPFERRY_DASHBOARD_USER.`,
    )
    .action(async ({ allowActions }: { allowActions: boolean }) => {
      const settings = settingsFrom({})
      const logger = createLogger({ level: settings.LOG_LEVEL, role: 'dashboard' })
      const { startDashboard } = await import('@heapferry/dashboard')
      const { ledger, redis, close } = await openLedger(settings, logger)
      try {
        const dashboard = await startDashboard({ redis, ledger, logger, allowActions, ...dashboardOptions(settings) })
        say(`Dashboard: ${dashboard.url}  (Ctrl-C ends it)`)
        const stop = stopSignal('Stopping.')
        if (!stop.aborted) await once(stop, 'abort')
        await dashboard.close()
      } finally {
        await close()
      }
    })
}

export function dashboardOptions(settings: Settings) {
  const password = settings.HEAPFERRY_DASHBOARD_PASSWORD
  return {
    host: settings.HEAPFERRY_DASHBOARD_HOST,
    port: settings.HEAPFERRY_DASHBOARD_PORT,
    login: password === undefined ? null : { user: settings.HEAPFERRY_DASHBOARD_USER, password },
  }
}
