import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import path from 'node:path'
import { environmentFor, homeOf, type Logger, type Settings } from '@heapferry/config'
import type { RejectReason, Run, TimelineLedger } from '@heapferry/domain'
import { exitCodes } from './exit-codes.ts'

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
    mkdirSync(path.dirname(log), { recursive: true, mode: 0o700 })
    const output = openSync(log, 'a', 0o600)
    const which = [
      ...(reason === undefined ? [] : ['--reason', reason]),
      ...(table === undefined ? [] : [`--table=${table}`]),
    ]
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', 'retry', id, ...which], {
      env: environmentFor({ ...settings, REDIS_URL: redisUrl }),
      stdio: ['ignore', output, output],
    })
    closeSync(output)
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
