import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { visibleInJson } from '@heapferry/domain'
import { type Logger, pino } from 'pino'

export type { Logger } from 'pino'

/**
 * JSON lines to a file, or to standard error: standard output belongs to answers.
 * Keys are cut out wherever they turn up as a field; no message is built from one. Only its owner may read the file.
 */
export function createLogger(options: { level: string; role: string; file?: string }): Logger {
  // pino's own `mkdir` leaves it to the umask who else may look in.
  if (options.file !== undefined) mkdirSync(path.dirname(options.file), { recursive: true, mode: 0o700 })
  const destination = pino.destination(
    options.file === undefined ? { fd: 2, sync: true } : { dest: options.file, mode: 0o600, sync: true },
  )
  // A disk that is full ends no run: what became of rows is in the ledger, and lines are written again when there is room.
  destination.on('error', () => {})
  return pino(
    {
      level: options.level,
      base: { role: options.role, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      // Libraries hang much on their errors: ioredis the command that failed, with the password if it was AUTH.
      serializers: { err: faultOf },
      // Read in terminals: JSON itself lets pass what turns a line around, and the control characters above 0x7e.
      hooks: { streamWrite: visibleInJson },
      redact: { paths: ['apiKey', '*.apiKey', 'api_key', '*.api_key', 'password', '*.password'], censor: '***' },
    },
    destination,
  )
}

function faultOf(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) }
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {}
  const cause = error.cause === undefined ? {} : { cause: faultOf(error.cause) }
  return { type: error.name, message: error.message, stack: error.stack, ...code, ...cause }
}
