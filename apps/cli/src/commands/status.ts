import { Command } from 'commander'
import type { RunId } from '@heapferry/domain'
import { readRunStatus } from '@heapferry/queue'
import { findRun } from '../open-ledger.ts'
import { options, parseRunId } from '../options.ts'
import { answer } from '../print.ts'
import { progressLine, statusText } from '../status-text.ts'
import { withLedger } from '../with-ledger.ts'

export function statusCommand(): Command {
  return new Command('status')
    .description('how far a run is')
    .argument('[RUN]', 'the name of a run; else the newest', parseRunId)
    .addOption(options.json())
    .action((name: RunId | undefined, flags: { json: boolean }) =>
      withLedger(async ({ ledger, queueOf }) => {
        const { id } = await findRun(ledger, name)
        const status = await readRunStatus(id, ledger, (phase) => queueOf(id, phase))
        answer(flags.json ? JSON.stringify(status) : `${statusText(status)}\n\n${progressLine(status, 80)}`)
      }),
    )
}
