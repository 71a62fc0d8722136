import { setTimeout as sleep } from 'node:timers/promises'
import {
  OperatorError,
  type RetryHold,
  type RetryHoldLedger,
  type RetryOutcome,
  type RetryWanted,
  visible,
} from '@heapferry/domain'
import { person } from './person.ts'
import { say } from './print.ts'

const keepEveryMs = 1000
const askEveryMs = 500

/**
 * Lets `work` retry rows of a run while nobody else does. A command that was killed keeps the right for some seconds; they
 * are waited for, until it is clear that nobody has it any more.
 * @returns what was done, as the ledger has counted it
 * @throws OperatorError when another command, or the dashboard, is at it
 */
export async function holdingRetry<T>(
  ledger: RetryHoldLedger,
  { hold, wanted, stop }: { hold: RetryHold; wanted: RetryWanted; stop: AbortSignal },
  work: (signal: AbortSignal, progressed: (progress: { rows: number; looked: number }) => void) => Promise<T>,
): Promise<{ result: T; outcome: RetryOutcome }> {
  await take(ledger, hold, wanted, stop)
  const lost = new AbortController()
  let fault: unknown
  let progress: { rows: number; looked: number } | undefined
  const keeping = setInterval(() => {
    ledger.keepRetry(hold, progress).catch((error: unknown) => {
      fault ??= error
      lost.abort()
    })
  }, keepEveryMs)
  const ended = async (): Promise<RetryOutcome> => {
    clearInterval(keeping)
    if (fault !== undefined) throw fault
    return ledger.endRetry(hold)
  }
  try {
    const result = await work(AbortSignal.any([stop, lost.signal]), (now) => {
      progress = now
    })
    return { result, outcome: await ended() }
  } catch (error) {
    // What was done before belongs into the timeline; the first fault is the one to tell.
    await ended().catch(() => {})
    throw error
  }
}

async function take(ledger: RetryHoldLedger, hold: RetryHold, wanted: RetryWanted, stop: AbortSignal): Promise<void> {
  let untilMs: number | undefined
  for (;;) {
    const other = await ledger.takeRetry(hold, person(), wanted)
    if (other === null) return
    const since = new Date(other.sinceMs).toISOString().slice(11, 19)
    const seen = await ledger.retryUnderWay(hold.run)
    // It has said once more that it lives.
    const isAlive = seen !== null && untilMs !== undefined && seen.untilMs > untilMs
    if (isAlive || stop.aborted) {
      throw new OperatorError(
        `${other.by} retries rows of ${hold.run} already, since ${since} UTC`,
        'One at a time: start this one again when the other has ended. The page of the run shows how far it is.',
      )
    }
    if (untilMs === undefined)
      say(`${visible(other.by)} began to retry rows at ${since} UTC; waiting whether that is still going on.`)
    untilMs ??= seen?.untilMs
    await sleep(askEveryMs, undefined, { signal: stop }).catch(() => {})
  }
}
