import { errorMessage, OperatorError } from '@heapferry/domain'

/**
 * A library that heapferry does without until somebody reads such a warehouse, loaded by the one process that does.
 * @param what reads it, such as `A Redshift is read by the npm package pg`
 * @param install what npm is to be told, such as `pg`
 */
export async function loadPeer<T>(
  load: () => Promise<T>,
  { what, install }: { what: string; install: string },
): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause
    throw new OperatorError(
      `${what}, which is not installed: ${errorMessage(cause).split('\n', 1)[0]}`,
      `Install it beside heapferry: npm i ${install} (npm i -g ${install} where heapferry was installed with -g).`,
      { cause },
    )
  }
}
