import { grouped } from '@heapferry/migration'
import { Command } from 'commander'
import type { RejectedRow, RunId } from '@heapferry/domain'
import { findRun } from '../open-ledger.ts'
import { options, parseRunId } from '../options.ts'
import { answer } from '../print.ts'
import { withLedger } from '../with-ledger.ts'

export function rejectedCommand(): Command {
  return new Command('rejected')
    .description('rows that were not sent: where they are and why')
    .argument('[RUN]', 'the name of a run; else the newest', parseRunId)
    .addOption(options.json())
    .addHelpText(
      'after',
      `
Every line names the file, the row (1 is the first after the header) and the
byte it starts at. With --json one object a line. The rows themselves stay in
the export.`,
    )
    .action((name: RunId | undefined, flags: { json: boolean }) =>
      withLedger(async ({ ledger }) => {
        const { id } = await findRun(ledger, name)
        const paths = new Map((await ledger.files(id)).map((file) => [file.id, file.path]))
        const rows: (Omit<RejectedRow, 'file' | 'chunk'> & { file: string })[] = []
        for await (const { chunk: _, file, ...row } of ledger.rejectedRows(id))
          rows.push({ file: paths.get(file) ?? file, ...row })
        rows.sort((a, b) => (a.file === b.file ? a.byte - b.byte : a.file < b.file ? -1 : 1))
        if (flags.json) {
          for (const row of rows) answer(JSON.stringify(row))
          return
        }
        for (const { file, row, byte, reason, detail } of rows)
          answer(`${file}: row ${grouped(row)} (byte ${grouped(byte)}): ${reason}: ${detail}`)
        if (rows.length === 0) answer(`${id} has no rejected rows.`)
      }),
    )
}
