import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { homeOf } from '@heapferry/config'
import { errorMessage, OperatorError, type RunId, visibleJson } from '@heapferry/domain'
import type { Command } from 'commander'
import { findRun } from '../open-ledger.ts'
import { parseRunId } from '../options.ts'
import { answer, say } from '../print.ts'
import { bundleContents, bundleOmissions, supportBundle } from '../support-bundle.ts'
import { wrapped } from '../terminal.ts'
import { withLedger } from '../with-ledger.ts'

export function supportCommand(command: Command): void {
  command
    .argument('[RUN]', 'the name of a run; else the newest', parseRunId)
    .option('--out <FILE>', "where it goes; else support.json in the run's folder in HEAPFERRY_HOME")
    .addHelpText(
      'after',
      `
Writes one file of JSON, to be read before it is sent on. In it are:
${bundleContents.flatMap((line) => wrapped(line, '- ')).join('\n')}

${wrapped(bundleOmissions, '').join('\n')}

Workers and dashboards on other machines log to standard error: what they said
is not in it.`,
    )
    .action((name: RunId | undefined, { out }: { out?: string }) =>
      withLedger(async (opened, settings) => {
        const run = await findRun(opened.ledger, name)
        const file =
          out === undefined
            ? path.join(homeOf(settings.HEAPFERRY_HOME).folder(run.id), 'support.json')
            : path.resolve(out)
        const bundle = await supportBundle(run, opened, settings)
        await write(file, `${visibleJson(bundle)}\n`)
        say(['In it are:', ...bundleContents.map((line) => `- ${line}`), bundleOmissions].join('\n'))
        answer(file)
      }),
    )
}

async function write(file: string, text: string): Promise<void> {
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    await writeFile(file, text, { mode: 0o600 })
  } catch (cause) {
    throw new OperatorError(`${file} cannot be written: ${errorMessage(cause)}`, 'Give another file with --out.', {
      cause,
    })
  }
}
