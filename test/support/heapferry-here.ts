import { vi } from 'vitest'
import { execute } from '../../apps/cli/src/execute.ts'
import { bin } from './heapferry.ts'

/**
 * What a command line answers, in this process: a second quicker than a process of its own, for commands that are not
 * killed. Of the surroundings it sees what `heapferry` gives a process, and the workers that it starts are those of `heapferry`.
 */
export async function heapferryHere(
  args: readonly string[],
  { env, cwd }: { env: Record<string, string>; cwd: string },
): Promise<{ code: number; stdout: string; stderr: string }> {
  const before = process.cwd()
  const listeners = signals.map((signal) => ({ signal, known: new Set(process.listeners(signal)) }))
  for (const name of Object.keys(process.env))
    if (/^(?:POSTHOG|HEAPFERRY|REDIS)_/.test(name)) vi.stubEnv(name, undefined)
  for (const [name, value] of Object.entries({ LOG_LEVEL: 'silent', ...env })) vi.stubEnv(name, value)
  const stdout = caught(process.stdout)
  const stderr = caught(process.stderr)
  const { argv, execArgv } = process
  process.argv = [process.execPath, bin]
  process.execArgv = []
  process.chdir(cwd)
  try {
    const code = await execute(args)
    return { code, stdout: stdout.text(), stderr: stderr.text() }
  } finally {
    process.chdir(before)
    Object.assign(process, { argv, execArgv })
    process.exitCode = undefined
    stdout.release()
    stderr.release()
    vi.unstubAllEnvs()
    for (const { signal, known } of listeners)
      for (const listener of process.listeners(signal)) if (!known.has(listener)) process.off(signal, listener)
  }
}

/**
 * The same, where `run` has one worker and no page: for tests that look at neither. Its worker is loaded anew by each run, and takes
 * as long as all else.
 */
export function heapferryAnswer(args: readonly string[], options: { env: Record<string, string>; cwd: string }) {
  return heapferryHere(args[0] === 'run' ? [...args, ...oneWorker] : args, options)
}

const oneWorker = ['--workers', '1', '--no-dashboard']

const signals = ['SIGINT', 'SIGTERM'] as const

function caught(stream: NodeJS.WriteStream) {
  let text = ''
  const spy = vi.spyOn(stream, 'write').mockImplementation((chunk) => {
    text += String(chunk)
    return true
  })
  return { text: () => text, release: () => spy.mockRestore() }
}
