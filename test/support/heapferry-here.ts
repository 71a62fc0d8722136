import { vi } from 'vitest'
import { execute } from '../../apps/cli/src/execute.ts'
import { heapferry } from './heapferry.ts'

/**
 * What a command line answers, in this process: a second quicker than a process of its own, for commands that neither
 * start others nor are killed. Of the surroundings it sees what `heapferry` gives a process.
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
  process.chdir(cwd)
  try {
    const code = await execute(args)
    return { code, stdout: stdout.text(), stderr: stderr.text() }
  } finally {
    process.chdir(before)
    process.exitCode = undefined
    stdout.release()
    stderr.release()
    vi.unstubAllEnvs()
    for (const { signal, known } of listeners)
      for (const listener of process.listeners(signal)) if (!known.has(listener)) process.off(signal, listener)
  }
}

export const oneWorker = ['--workers', '1', '--no-dashboard']

/**
 * What a command line answers: in this process, unless it is `run`, which starts workers.
 * @param runFlags are added to `run`
 */
export function heapferryAnswer(
  args: readonly string[],
  options: { env: Record<string, string>; cwd: string },
  runFlags: readonly string[] = [],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return args[0] === 'run' ? heapferry([...args, ...runFlags], options).ended : heapferryHere(args, options)
}

const signals = ['SIGINT', 'SIGTERM'] as const

function caught(stream: NodeJS.WriteStream) {
  let text = ''
  const spy = vi.spyOn(stream, 'write').mockImplementation((chunk) => {
    text += String(chunk)
    return true
  })
  return { text: () => text, release: () => spy.mockRestore() }
}
