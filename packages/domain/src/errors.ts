import { visible } from './visible.ts'

/**
 * Someone has to act before going on makes sense: the run is paused with the message and nothing is lost.
 * `hint` says what to do. Both, given in lines where they have several, name what the export or PostHog has named: made
 * visible here, so that nobody can forget it.
 */
export class OperatorError extends Error {
  override name = 'OperatorError'
  readonly hint: string
  constructor(message: string | readonly string[], hint: string | readonly string[], options?: ErrorOptions) {
    super(visibly(message), options)
    this.hint = visibly(hint)
  }
}

function visibly(lines: string | readonly string[]): string {
  return [lines].flat().map(visible).join('\n')
}

/** A file of the export is not the one that was planned. Mixing two versions would lose or double rows. */
export class SourceChanged extends OperatorError {
  override name = 'SourceChanged'
}

/** What anything says of itself that was thrown. */
export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

const unwritableCodes: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM']

/**
 * The same error, for an operator where the operating system lets nothing be written: a full disk or quota, a read-only
 * mount, a folder of somebody else.
 * @param problem names what was to be written: the system says no more than its own words when a disk is full
 */
export function unwritable(error: unknown, problem: string, hint: string): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  // Of a folder that cannot be made on a read-only mount, Node says that it is not there.
  const isNotMade = error.code === 'ENOENT' && 'syscall' in error && error.syscall === 'mkdir'
  if (!isNotMade && !unwritableCodes.includes(error.code)) return error
  return new OperatorError(`${problem}: ${error.message}`, hint, { cause: error })
}
