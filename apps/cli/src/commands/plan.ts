import { Command, InvalidArgumentError } from 'commander'
import { hashSaltFor, loadMapping, s3OptionsOf } from '@heapferry/config'
import { OperatorError } from '@heapferry/domain'
import type { ExportPlan, FoundExport, PlanProgress } from '@heapferry/migration'
import type { Discovery, Inspected } from '@heapferry/sources'
import { exitCodes } from '../exit-codes.ts'
import { options, settingsFrom } from '../options.ts'
import { answer } from '../print.ts'
import { stopSignal } from '../stop-signal.ts'

interface Flags {
  full: boolean
  rate: number
  mapping?: string
  against?: string
  includeRecent: boolean
  table?: string
  json: boolean
}

// What PostHog's own managed migrations send.
const defaultRate = 5000

export function planCommand(): Command {
  return new Command('plan')
    .description('tell what an export holds, what becomes of it and how long that takes; sends nothing')
    .argument('<SOURCE>', 'a file, a folder, a glob in quotes, or s3://bucket/prefix')
    .option('--full', 'read every row instead of samples: exact figures, rejected rows by place', false)
    .option('--rate <N>', 'events per second to reckon with', perSecond, defaultRate)
    .option('--table <NAME>', 'show one table with all its columns and whole samples')
    .addOption(options.mapping())
    .option('--against <FILE>', 'another mapping file: show which of the sampled events it would change')
    .addOption(options.includeRecent())
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
  const hashSalt = hashSaltFor(mapping, settings) ?? (against && hashSaltFor(against, settings))
  const stop = stopSignal('Stopping.')
  const [{ planExport }, { countRows, discover, inspectExport, readWhole, sampleFile }, { planText }] =
    await Promise.all([import('@heapferry/migration'), import('@heapferry/sources'), import('../plan-text.ts')])
  const progress = await progressLine()

  const discovery = await discover(source, s3OptionsOf(settings))
  const { place } = discovery
  let found: ExportPlan | null
  try {
    found = await planExport(foundExport(source, discovery, await inspectExport(discovery, mapping)), {
      mapping,
      against,
      hashSalt,
      includeRecent: flags.includeRecent,
      nowMs: Date.now(),
      full: flags.full,
      eventsPerSecond: flags.rate,
      read: (file) => readWhole(place, file, slices),
      sample: (file, rows) => sampleFile(place, file, rows),
      countRows: (file, maxBytes) => countRows(place, file, maxBytes),
      signal: stop,
      onProgress: progress.show,
    })
  } finally {
    progress.end()
    place.close()
  }
  if (found === null) {
    process.exitCode = exitCodes.stopped
    return
  }
  answer(flags.json ? JSON.stringify(found) : planText(found, flags.table?.toLowerCase() ?? null))
  process.exitCode = found.can_migrate ? exitCodes.done : exitCodes.failed
}

const slices = { rows: 10_000, bytes: 4 * 1024 * 1024 }

function foundExport(source: string, { notices }: Discovery, inspected: readonly Inspected[]): FoundExport {
  const found = {
    source,
    files: inspected.flatMap((one) => (one.kind === 'inspected' ? one.files : [])),
    faults: inspected.flatMap((one) => {
      if (one.kind === 'inspected') return []
      return [{ file: one.found.path, problem: one.fault.message, hint: one.fault.hint }]
    }),
    notices: [...notices, ...inspected.flatMap((one) => (one.kind === 'inspected' ? one.notices : []))],
  }
  if (found.files.length === 0 && found.faults.length === 0)
    throw new OperatorError(`${source} holds only empty files`, 'Export the tables again with their headers.')
  return found
}

/** One line that is written over again and again; nothing where nobody watches. */
async function progressLine(): Promise<{ show(progress: PlanProgress): void; end(): void }> {
  if (!process.stderr.isTTY) return { show: () => {}, end: () => {} }
  const [{ logUpdateStderr }, { planProgressText }] = await Promise.all([
    import('log-update'),
    import('../plan-text.ts'),
  ])
  return {
    show: (progress) => logUpdateStderr(planProgressText(progress)),
    end: () => logUpdateStderr.clear(),
  }
}

function perSecond(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number of events per second, from 1 to 999999')
}
