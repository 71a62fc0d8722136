import type { Logger } from '@heapferry/config'
import { OperatorError, type Run, type RunLedger } from '@heapferry/domain'

/**
 * Where only a person can help, no other chunk would fare better: the run is paused with the reason.
 * @returns undefined then
 */
export async function pausingOnOperatorErrors<T>(
  run: Run,
  { ledger, logger }: { ledger: Pick<RunLedger, 'pauseIfRunning'>; logger: Logger },
  work: () => Promise<T>,
  /** What else a line of the log says of it. */
  where: () => object = () => ({}),
): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof OperatorError)) {
      logger.error({ err: error, run: run.id, ...where() }, 'a chunk failed')
      throw error
    }
    logger.error({ err: error, run: run.id, ...where(), hint: error.hint }, 'the run is paused')
    await ledger.pauseIfRunning(run.id, { kind: 'pause', by: 'heapferry', reason: error.message, hint: error.hint })
    return undefined
  }
}
