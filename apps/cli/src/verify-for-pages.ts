import { requireQueries, type Settings } from '@heapferry/config'
import type { DashboardOptions } from '@heapferry/dashboard'
import { OperatorError } from '@heapferry/domain'
import type { RedisLedger } from '@heapferry/queue'
import { verifyRun } from './verify-run.ts'

const lagMs = 60 * 60_000

/** What the dashboard calls to compare a run with PostHog, as `heapferry verify` does; null where it has no key to ask with. */
export function verifyForPages(settings: Settings, ledger: RedisLedger): DashboardOptions['verify'] {
  return (run) => {
    try {
      requireQueries(settings, run.destination)
    } catch (error) {
      if (error instanceof OperatorError) return null
      throw error
    }
    return async ({ by, stop, onProgress }) => {
      const waiting = { waitMs: 0, onWaiting: () => {}, onLookingAgain: () => {} }
      await verifyRun(run, { ledger, settings, by, people: undefined, lagMs, stop, onProgress, ...waiting })
    }
  }
}
