import { homeOf, type Logger, type Settings } from '@heapferry/config'
import type { RejectReason, Run, TimelineLedger } from '@heapferry/domain'
import { exitCodes } from './exit-codes.ts'
import { spawnCommand } from './spawn-command.ts'

/**
 * What the dashboard calls to send rejected rows again: `heapferry retry` as a process of its own, which holds the run, so
 * that no two retries meet, and goes on when the dashboard ends. The timeline tells when it failed. Null where it would have
 * no key to send with.
 */
export function spawnRetry(
  settings: Settings,
  redisUrl: string,
  { ledger, logger }: { ledger: TimelineLedger; logger: Logger },
): ((run: Run, meant: { table?: string | undefined; reason?: RejectReason | undefined }) => void) | null {
  const { POSTHOG_API_KEY: apiKey, POSTHOG_HOST: host, HEAPFERRY_TO: to } = settings
  if (to === 'posthog' && (apiKey === undefined || host === undefined)) return null
  return ({ id }, { table, reason }) => {
    const log = homeOf(settings.HEAPFERRY_HOME).log(id, 'retry')
    const which = [
      ...(reason === undefined ? [] : ['--reason', reason]),
      ...(table === undefined ? [] : [`--table=${table}`]),
    ]
    const child = spawnCommand(['retry', id, ...which], { settings, redisUrl, log })
    const failed = (detail: string) => {
      logger.error({ run: id, detail }, 'a retry failed')
      ledger
        .record(id, { kind: 'retry_failed', atMs: Date.now(), detail })
        .catch((error: unknown) => logger.error({ err: error, run: id }, 'the timeline was not told of it'))
    }
    child.once('exit', (code, signal) => {
      if (code === exitCodes.done || code === exitCodes.doneWithRejectedRows) return
      failed(`it ended with ${signal ?? `exit code ${code}`}; ${log} tells why`)
    })
    child.once('error', ({ message }) => failed(`it could not be started: ${message}`))
  }
}
