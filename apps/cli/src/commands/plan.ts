import { visibleJson } from '@heapferry/domain'
import { Command, InvalidArgumentError } from 'commander'
import { hashSaltFor, loadMapping } from '@heapferry/config'
import { exitCodes } from '../exit-codes.ts'
import { options, settingsFrom, sourceForms } from '../options.ts'
import { planSource } from '../plan-source.ts'
import { planText } from '../plan-text.ts'
import { answer } from '../print.ts'
import { assertStageable } from '../run-request.ts'
import { stopSignal } from '../stop-signal.ts'

interface Flags {
  full: boolean
  rate: number
  mapping?: string
  against?: string
  includeRecent: boolean
  stage?: string
  table?: string
  json: boolean
}

// What PostHog's own managed migrations send.
const defaultRate = 5000

export function planCommand(command: Command): void {
  command
    .argument('<SOURCE>', sourceForms)
    .option('--full', 'read every row instead of samples: exact figures, rejected rows by place', false)
    .option('--rate <N>', 'events per second to reckon with', perSecond, defaultRate)
    .option('--table <NAME>', 'show one table with all its columns and whole samples')
    .addOption(options.mapping())
    .option('--against <FILE>', 'another mapping file: show which of the sampled events it would change')
    .addOption(options.includeRecent())
    .addOption(options.stage())
    .addOption(options.json())
    .addHelpText(
      'after',
      `
Needs no PostHog and no Redis. Shows rows of the export as they are, with the
personal data that they hold, but for columns that the mapping drops or hashes;
nothing is stored.

  heapferry plan ./export --mapping heapferry.yaml
  heapferry plan ./export --mapping heapferry.yaml --against changed.yaml

Exit codes: 0 the export can be migrated · 1 something stops it (all of it is
listed) · 130 stopped by Ctrl-C`,
    )
    .action(plan)
}

async function plan(source: string, flags: Flags): Promise<void> {
  const settings = settingsFrom({})
  const mapping = loadMapping(flags.mapping)
  const against = flags.against === undefined ? null : loadMapping(flags.against)
  assertStageable(source, flags.stage)
  const found = await planSource(source, settings, {
    stage: flags.stage,
    mapping,
    against,
    hashSalt: hashSaltFor(mapping, settings) ?? (against && hashSaltFor(against, settings)),
    includeRecent: flags.includeRecent,
    full: flags.full,
    eventsPerSecond: flags.rate,
    signal: stopSignal('Stopping.'),
  })
  if (found === null) {
    process.exitCode = exitCodes.stopped
    return
  }
  const shown = { only: flags.table?.toLowerCase() ?? null, transport: settings.HEAPFERRY_TRANSPORT }
  answer(flags.json ? visibleJson(found) : planText(found, shown))
  process.exitCode = found.can_migrate ? exitCodes.done : exitCodes.failed
}

function perSecond(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number of events per second, from 1 to 999999')
}
