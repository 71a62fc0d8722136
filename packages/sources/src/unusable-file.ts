import { OperatorError } from '@heapferry/domain'

/** Nothing can be read from a file, for a reason that a person must mend. Who knows its path makes an OperatorError of it. */
export class UnusableFile extends Error {
  override name = 'UnusableFile'
  readonly hint: string
  constructor(message: string, hint: string, options?: ErrorOptions) {
    super(message, options)
    this.hint = hint
  }
}

/** An UnusableFile as the OperatorError that names it; any other error as it is. */
export function withPath(path: string, error: unknown): unknown {
  return error instanceof UnusableFile
    ? new OperatorError(`${path}: ${error.message}`, error.hint, { cause: error })
    : error
}
