import { homeOf, type Logger, type Settings } from '@heapferry/config'
import type { RejectReason, RetryHold, RetryHoldLedger, TimelineLedger } from '@heapferry/domain'
import { exitCodes } from './exit-codes.ts'
import { spawnCommand } from './spawn-command.ts'

/**
 * What the dashboard calls to send rejected rows again: `heapferry retry` as a process of its own, which takes over the right
 * to, so that no two retries meet, and goes on when the dashboard ends. The timeline tells when it failed. Null where it would have
 * no key to send with.
 */
export function spawnRetry(
  settings: Settings,
  redisUrl: string,
  { ledger, logger }: { ledger: TimelineLedger & RetryHoldLedger; logger: Logger },
): ((hold: RetryHold, meant: { table?: string | undefined; reason?: RejectReason | undefined }) => void) | null {
  const { POSTHOG_API_KEY: apiKey, POSTHOG_HOST: host, HEAPFERRY_TO: to } = settings
  if (to === 'posthog' && (apiKey === undefined || host === undefined)) return null
  return (hold, { table, reason }) => {
    const { run: id, token } = hold
    const log = homeOf(settings.HEAPFERRY_HOME).log(id, 'retry')
    const which = [
      ...(reason === undefined ? [] : ['--reason', reason]),
      ...(table === undefined ? [] : [`--table=${table}`]),
    ]
    const child = spawnCommand(['retry', id, `--hold=${token}`, ...which], { settings, redisUrl, log })
    const failed = (detail: string) => {
      logger.error({ run: id, detail }, 'a retry failed')
      ledger
        // Where it died so early, or was killed, that it could not do so itself.
        .endRetry(hold)
        .catch(() => {})
        .then(() => ledger.nowMs(id))
        .then((atMs) => ledger.record(id, { kind: 'retry_failed', atMs, detail }))
        .catch((error: unknown) => logger.error({ err: error, run: id }, 'the timeline was not told of it'))
    }
    child.once('exit', (code, signal) => {
      if (code === exitCodes.done || code === exitCodes.doneWithRejectedRows) return
      failed(`it ended with ${signal ?? `exit code ${code}`}; ${log} tells why`)
    })
    child.once('error', ({ message }) => failed(`it could not be started: ${message}`))
  }
}
