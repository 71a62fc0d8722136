import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { homeOf, type Logger, type Settings } from '@heapferry/config'
import type { RunId } from '@heapferry/domain'
import { spawnCommand } from './spawn-command.ts'

export interface LocalWorkers {
  /** Lets every worker hand its chunks back, and waits for their ends. */
  stop(): Promise<void>
  /** What to say when workers keep dying; null while all is well. */
  trouble(): string | null
}

const restartAfterMs = 1000
const diesYoungMs = 10_000
const troubleAfter = 5
const graceMs = 6000
// A worker makes short-lived objects only: with V8's default of 16 MB it needs 40 MB more and is no faster.
const smallNursery = '--max-semi-space-size=4'

/** Worker processes of one run on this machine. One that dies is replaced. */
export function startLocalWorkers(
  count: number,
  { run, settings, redisUrl, logger }: { run: RunId; settings: Settings; redisUrl: string; logger: Logger },
): LocalWorkers {
  const log = homeOf(settings.HEAPFERRY_HOME).log(run, 'worker')
  const children = new Set<ChildProcess>()
  let stopping = false
  let diedYoung = 0

  const start = (): void => {
    if (stopping) return
    const how = { settings, redisUrl, log, withChannel: true, flags: [smallNursery] }
    const child = spawnCommand(['worker', '--run', run], how)
    children.add(child)
    const startedAtMs = performance.now()
    child.once('exit', (code, signal) => {
      children.delete(child)
      if (stopping) return
      diedYoung = performance.now() - startedAtMs < diesYoungMs ? diedYoung + 1 : 0
      logger.warn({ pid: child.pid, code, signal }, 'a worker ended; starting another')
      setTimeout(start, restartAfterMs)
    })
    child.once('error', (error) => {
      // It never ran, so no exit follows.
      logger.error({ err: error }, 'a worker could not be started')
      if (children.delete(child)) diedYoung = troubleAfter
    })
  }
  for (let started = 0; started < count; started++) start()

  return {
    async stop() {
      stopping = true
      await Promise.all([...children].map(end))
    },
    trouble: () =>
      diedYoung >= troubleAfter ? `Workers end right after their start; their log says why: ${log}` : null,
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await exited
  clearTimeout(force)
}
