import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import path from 'node:path'
import { environmentFor, type Settings } from '@heapferry/config'

/**
 * This command once more, as a process of its own that runs from the same code, compiled or not.
 * @param log where it says what it says
 * @param withChannel it notices the end of this process
 */
export function spawnCommand(
  args: readonly string[],
  {
    settings,
    redisUrl,
    log,
    withChannel = false,
    flags = [],
  }: { settings: Settings; redisUrl: string; log: string; withChannel?: boolean; flags?: readonly string[] },
): ChildProcess {
  mkdirSync(path.dirname(log), { recursive: true, mode: 0o700 })
  const output = openSync(log, 'a', 0o600)
  try {
    return spawn(process.execPath, [...process.execArgv, ...flags, process.argv[1] ?? '', ...args], {
      env: environmentFor({ ...settings, REDIS_URL: redisUrl }),
      stdio: ['ignore', output, output, ...(withChannel ? (['ipc'] as const) : [])],
    })
  } finally {
    closeSync(output)
  }
}
