import path from 'node:path'
import { homeOf } from '@heapferry/config'
import { errorMessage, OperatorError, type RunId, visibleJson } from '@heapferry/domain'
import { Command } from 'commander'
import { findRun } from '../open-ledger.ts'
import { options, parseRunId } from '../options.ts'
import { answer, say } from '../print.ts'
import { withLedger } from '../with-ledger.ts'
import { reportOf, writeReport } from '../write-report.ts'

interface Flags {
  out?: string
  checksums: boolean
  json: boolean
}

export function reportCommand(command: Command): void {
  command
    .argument('[RUN]', 'the name of a run; else the newest', parseRunId)
    .option('--out <FOLDER>', "where report.html and report.json go; else the run's folder in HEAPFERRY_HOME")
    .option('--no-checksums', 'do not read the inputs once more for their SHA-256')
    .addOption(options.json())
    .addHelpText(
      'after',
      `
report.html is one file that asks nobody for anything, to be kept, printed and
sent on. With --json the report is printed instead; docs/report.schema.json
describes it. Neither holds a row of the export, but for the ids and times that
rejected rows were rejected for.

Examples:
  heapferry report
  heapferry report heap-export-3fa2c1d0 --out ./reports
  heapferry report --json --no-checksums | jq .totals`,
    )
    .action((name: RunId | undefined, flags: Flags) =>
      withLedger(async (opened, settings) => {
        const run = await findRun(opened.ledger, name)
        if (flags.checksums) say('Reading the inputs once more for their checksums.')
        const report = await reportOf(run, opened, { settings, checksums: flags.checksums })
        if (flags.json) return answer(visibleJson(report))
        const folder =
          flags.out === undefined ? homeOf(settings.HEAPFERRY_HOME).folder(run.id) : path.resolve(flags.out)
        const files = await writeReport(report, folder).catch((cause: unknown) => {
          throw new OperatorError(
            `The report cannot be written to ${folder}: ${errorMessage(cause)}`,
            'Give another folder with --out.',
            { cause },
          )
        })
        answer(files.html)
        answer(files.json)
      }),
    )
}
