/**
 * What Bull Board and `status` may show of a failure. Messages of our own and of the operating system name places and
 * counts; those of the language and of libraries can quote what they choked on, a cell of an export: of these only the
 * kind and the place in the code is kept, and the worker's log has the rest.
 */
export function shownFailure(error: unknown): Error {
  if (!(error instanceof Error)) return withoutStack('a failure that is no error; the log of the worker tells more')
  const isOwn = error.constructor === Error || ('code' in error && typeof error.code === 'string')
  if (isOwn) return withoutStack(error.message)
  const place = /\n\s+at .*?([\w.-]+:\d+):\d+\)?/.exec(error.stack ?? '')?.[1]
  return withoutStack(`${error.name}${place === undefined ? '' : ` in ${place}`}; the log of the worker tells more`)
}

/** The first line of a stack is the message it was made with. */
function withoutStack(message: string): Error {
  const error = new Error(message)
  error.stack = message
  return error
}
