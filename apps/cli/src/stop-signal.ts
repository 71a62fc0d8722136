import { say } from './print.ts'

/**
 * Aborted by the first Ctrl-C or SIGTERM. A second one ends the process at once, which is safe too: the ledger knows
 * what was sent.
 */
export function stopSignal(message: string): AbortSignal {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(130)
    say(message)
    controller.abort()
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return controller.signal
}
