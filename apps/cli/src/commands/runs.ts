import { grouped, readRunStatus } from '@heapferry/migration'
import { destinationText, visibleJson } from '@heapferry/domain'
import { Command } from 'commander'
import { options } from '../options.ts'
import { answer, table } from '../print.ts'
import { withLedger } from '../with-ledger.ts'

export function runsCommand(command: Command): void {
  command.addOption(options.json()).action((flags: { json: boolean }) =>
    withLedger(async ({ ledger }) => {
      const runs = await ledger.runs()
      const statuses = await Promise.all(
        runs.map(async (run) => ({
          run,
          status: await readRunStatus(run.id, ledger),
        })),
      )
      if (flags.json) {
        answer(
          visibleJson(
            statuses.map(({ run, status }) => ({
              ...status,
              source: run.source,
              destination: destinationText(run.destination),
              created_at: new Date(run.createdAtMs).toISOString(),
            })),
          ),
        )
        return
      }
      if (runs.length === 0) {
        answer('There is no run yet. Start one with `heapferry run SOURCE`.')
        return
      }
      const lines = statuses.map(({ run, status }) => [
        run.id,
        status.trouble.some(({ halts }) => halts) ? 'standing_still' : status.state,
        grouped(status.totals.read),
        grouped(status.totals.sent),
        new Date(run.createdAtMs).toISOString().slice(0, 16).replace('T', ' '),
      ])
      answer(table(['run', 'state', 'read', 'sent', 'created (UTC)'], lines))
    }),
  )
}
