import { type Run, RunId, type RunLedger } from '@heapferry/domain'
import type { Response } from 'express'
import { refuse } from './send.ts'

/** The run that an address names; null where there is none, and the visitor has been told so. */
export type FindRun = (id: unknown, response: Response) => Promise<Run | null>

export function runFinder(ledger: RunLedger): FindRun {
  return async (id, response) => {
    const name = RunId.safeParse(id)
    const run = name.success ? await ledger.run(name.data) : null
    if (run === null) refuse(response, 404, 'No such run', `There is no run ${String(id)}. It may have been removed.`)
    return run
  }
}
