import { EventEmitter, once } from 'node:events'
import { vi } from 'vitest'
import { execute } from '../../apps/cli/src/execute.ts'
import { exitCodes } from '../../apps/cli/src/exit-codes.ts'
import { bin } from './heapferry.ts'

interface Surroundings {
  env: Record<string, string>
  cwd: string
}

interface Answer {
  code: number
  stdout: string
  stderr: string
}

/**
 * What a command line answers, in this process: a second quicker than a process of its own, for commands that are not
 * killed. Of the surroundings it sees what `heapferry` gives a process, and the workers that it starts are those of `heapferry`.
 */
export function heapferryHere(args: readonly string[], surroundings: Surroundings): Promise<Answer> {
  return inside(surroundings, async () => execute(args))
}

/**
 * The same, where `run` serves no page and its only worker is the command `worker` in this process, which begins once the run is
 * there: for tests that look at neither. To load a worker takes a process as long as all else. Here it ends after `run`, and not
 * before it: what the command tells at its end may lack the last second of what workers tell of themselves.
 */
export function heapferryAnswer(args: readonly string[], surroundings: Surroundings): Promise<Answer> {
  if (args[0] !== 'run') return heapferryHere(args, surroundings)
  return inside(surroundings, async ({ setEnv, said, listenersToCome }) => {
    const over = new AbortController()
    let stopWorker: (() => void) | undefined
    const working = (async () => {
      const name = await said(/^Run (\S+): |^\{"run":"([^"]+)"/m, over.signal)
      if (name === null || over.signal.aborted) return
      // Of a key nothing is left there once it was read.
      setEnv()
      stopWorker = listenersToCome()
      const code = await execute(['worker', '--run', name, ...destinationOf(args)])
      if (code !== exitCodes.done) throw new Error('the worker failed, as it has said above')
    })()
    const running = execute([...args, '--workers', '0', '--no-dashboard'])
    await Promise.race([running, working])
    const code = await running
    // It is the run's, and would be the worker's too.
    process.exitCode = undefined
    over.abort()
    stopWorker?.()
    await working
    return code
  })
}

function destinationOf(args: readonly string[]): string[] {
  const given = ['--to', '--host', '--api-key-file'].flatMap((flag) => {
    const at = args.indexOf(flag)
    return at === -1 ? [] : args.slice(at, at + 2)
  })
  return [...given, ...args.filter((arg) => arg === '--skip-key-check')]
}

interface Inside {
  setEnv(): void
  /** Waits until the command has told this. @returns what a group of the pattern found; null when the signal came first */
  said(text: RegExp, signal: AbortSignal): Promise<string | null>
  /** @returns what SIGTERM would do to what begins to listen to it from now on */
  listenersToCome(): () => void
}

async function inside({ env, cwd }: Surroundings, execution: (inside: Inside) => Promise<number>): Promise<Answer> {
  const before = process.cwd()
  const listeners = signals.map((signal) => ({ signal, known: new Set(process.listeners(signal)) }))
  for (const name of Object.keys(process.env))
    if (/^(?:POSTHOG|HEAPFERRY|REDIS)_/.test(name)) vi.stubEnv(name, undefined)
  const setEnv = () => {
    for (const [name, value] of Object.entries({ LOG_LEVEL: 'silent', ...env })) vi.stubEnv(name, value)
  }
  setEnv()
  const written = new EventEmitter()
  const stdout = caught(process.stdout, written)
  const stderr = caught(process.stderr, written)
  const { argv, execArgv } = process
  process.argv = [process.execPath, bin]
  process.execArgv = []
  process.chdir(cwd)
  const come: NodeJS.SignalsListener[] = []
  let isStopped = false
  const onNewListener = (event: string | symbol, listener: NodeJS.SignalsListener): void => {
    if (event !== 'SIGTERM') return
    // A worker that is asked to end before it listens would stay.
    if (isStopped) queueMicrotask(() => listener('SIGTERM'))
    else come.push(listener)
  }
  try {
    const code = await execution({
      setEnv,
      async said(wanted, signal) {
        for (;;) {
          const found = wanted.exec(stderr.text()) ?? wanted.exec(stdout.text())
          if (found !== null || signal.aborted) return found?.slice(1).find((group) => group !== undefined) ?? null
          await once(written, 'more', { signal }).catch(() => {})
        }
      },
      listenersToCome() {
        process.on('newListener', onNewListener)
        return () => {
          isStopped = true
          for (const listener of come) listener('SIGTERM')
        }
      },
    })
    return { code, stdout: stdout.text(), stderr: stderr.text() }
  } finally {
    process.chdir(before)
    Object.assign(process, { argv, execArgv })
    process.exitCode = undefined
    stdout.release()
    stderr.release()
    vi.unstubAllEnvs()
    process.off('newListener', onNewListener)
    for (const { signal, known } of listeners)
      for (const listener of process.listeners(signal)) if (!known.has(listener)) process.off(signal, listener)
  }
}

const signals = ['SIGINT', 'SIGTERM'] as const

function caught(stream: NodeJS.WriteStream, written: EventEmitter) {
  let text = ''
  const spy = vi.spyOn(stream, 'write').mockImplementation((chunk) => {
    text += String(chunk)
    written.emit('more')
    return true
  })
  return { text: () => text, release: () => spy.mockRestore() }
}
