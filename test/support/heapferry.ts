import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'
import { onTestFinished } from 'vitest'

export const bin = path.resolve(import.meta.dirname, '../../dist/heapferry.mjs')

export interface HeapferryProcess {
  child: ChildProcess
  stdout(): string
  stderr(): string
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }>
}

/**
 * The command as a person starts it, without any setting of the surroundings. It does not outlive the test.
 * @param options.within a command that becomes it, such as `ip netns exec HOST`
 * @param program where it is installed elsewhere
 */
export function heapferry(
  args: readonly string[],
  options: { env?: Record<string, string>; cwd: string; within?: readonly string[] },
  program: string = bin,
): HeapferryProcess {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, LOG_LEVEL: 'warn', ...options.env }
  const [first = process.execPath, ...more] = [...(options.within ?? []), process.execPath, program, ...args]
  const child = spawn(first, more, {
    cwd: options.cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (data) => (stdout += data))
  child.stderr.on('data', (data) => (stderr += data))
  const ended = new Promise<Awaited<HeapferryProcess['ended']>>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
  })
  return { child, stdout: () => stdout, stderr: () => stderr, ended }
}
