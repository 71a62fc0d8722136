import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import path from 'node:path'
import { environmentFor, homeOf, type Logger, type Settings } from '@heapferry/config'
import type { RejectReason, Run } from '@heapferry/domain'

/**
 * What the dashboard calls to send rejected rows again: `heapferry retry` as a process of its own, which holds the run, so
 * that no two retries meet, and goes on when the dashboard ends. Null where it would have no key to send with.
 */
export function spawnRetry(
  settings: Settings,
  redisUrl: string,
  logger: Logger,
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
    child.once('exit', (code, signal) => logger.info({ run: id, code, signal, log }, 'a retry has ended'))
    child.once('error', (error) => logger.error({ err: error, run: id }, 'a retry could not be started'))
  }
}
