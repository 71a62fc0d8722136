import { Command } from 'commander'
import type { Settings } from '@heapferry/config'
import { OperatorError, type Run, type RunId, type RunProgress } from '@heapferry/domain'
import { isRunComplete } from '@heapferry/migration'
import { findRun, type OpenLedger } from '../open-ledger.ts'
import { parseRunId } from '../options.ts'
import { person } from '../person.ts'
import { answer } from '../print.ts'
import { withLedger } from '../with-ledger.ts'

export const runName = ['[RUN]', 'the name of a run; else the newest', parseRunId] as const

export function pauseCommand(command: Command): void {
  command.argument(...runName).action((name: RunId | undefined) =>
    changing(name, async ({ id }, _, { ledger }) => {
      await ledger.setIntent(id, {
        kind: 'pause',
        by: person(),
        reason: 'on request',
        hint: `heapferry resume ${id} goes on.`,
      })
      answer(`${id} pauses. heapferry resume ${id} goes on.`)
    }),
  )
}

export function changing(
  name: RunId | undefined,
  change: (run: Run, progress: RunProgress, opened: OpenLedger, settings: Settings) => Promise<void>,
): Promise<void> {
  return withLedger(async (opened, settings) => {
    const run = await findRun(opened.ledger, name)
    const { id } = run
    const progress = await opened.ledger.progress(id)
    if (progress.intent.kind === 'cancel')
      throw new OperatorError(`${id} was cancelled by ${progress.intent.by}`, 'Start another run with --run NAME.')
    if (isRunComplete(progress))
      throw new OperatorError(`${id} is complete`, 'There is nothing left to pause, resume or cancel.')
    await change(run, progress, opened, settings)
  })
}
