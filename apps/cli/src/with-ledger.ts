import { createLogger, type Settings } from '@heapferry/config'
import { type OpenLedger, openLedger } from './open-ledger.ts'
import { settingsFrom } from './options.ts'

/** For commands that look at runs or change one, and need no project. */
export async function withLedger(use: (opened: OpenLedger, settings: Settings) => Promise<void>): Promise<void> {
  const settings = settingsFrom({})
  const opened = await openLedger(settings, createLogger({ level: settings.LOG_LEVEL, role: 'cli' }), 'looks')
  try {
    await use(opened, settings)
  } finally {
    await opened.close()
  }
}
