import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  OperatorError,
  type RetryHold,
  type RetryHoldLedger,
  type RetryOutcome,
  type RunId,
  visible,
} from '@heapferry/domain'
import { person } from './person.ts'
import { say } from './print.ts'

const keepEveryMs = 2500
const askEveryMs = 1000
// Longer than a hold lasts that nobody keeps: of a command that was killed.
const patienceMs = 15_000

/**
 * Lets `work` retry rows of a run while nobody else does. A command that was killed keeps the right for some seconds; they
 * are waited for.
 * @returns what was done, as the ledger has counted it
 * @throws OperatorError when another command is at it
 */
export async function holdingRetry<T>(
  ledger: RetryHoldLedger,
  run: RunId,
  stop: AbortSignal,
  work: (hold: RetryHold, signal: AbortSignal) => Promise<T>,
): Promise<{ result: T; outcome: RetryOutcome }> {
  const hold = { run, token: randomUUID() }
  await take(ledger, hold, stop)
  const lost = new AbortController()
  let fault: unknown
  const keeping = setInterval(() => {
    ledger.keepRetry(hold).catch((error: unknown) => {
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
    const result = await work(hold, AbortSignal.any([stop, lost.signal]))
    return { result, outcome: await ended() }
  } catch (error) {
    // What was done before belongs into the timeline; the first fault is the one to tell.
    await ended().catch(() => {})
    throw error
  }
}

async function take(ledger: RetryHoldLedger, hold: RetryHold, stop: AbortSignal): Promise<void> {
  const endMs = Date.now() + patienceMs
  for (let told = false; ; told = true) {
    const other = await ledger.takeRetry(hold, person())
    if (other === null) return
    const since = new Date(other.sinceMs).toISOString().slice(11, 19)
    if (Date.now() > endMs || stop.aborted) {
      throw new OperatorError(
        `${other.by} retries rows of ${hold.run} already, since ${since} UTC`,
        'One command at a time: start this one again when the other has ended.',
      )
    }
    if (!told) say(`${visible(other.by)} began to retry rows at ${since} UTC; waiting whether that is still going on.`)
    await sleep(askEveryMs, undefined, { signal: stop }).catch(() => {})
  }
}
