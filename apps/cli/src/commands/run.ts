import { Command } from 'commander'
import { createLogger, homeOf, requireDestination, shownSettings } from '@heapferry/config'
import { destinationText, OperatorError, type Run, type RunLedger, visible, visibleJson } from '@heapferry/domain'
import { duration, grouped, hasCompleted, type RunStatus, wantedToGoOn } from '@heapferry/migration'
import { assertReachable } from '../assert-reachable.ts'
import { exitCodes } from '../exit-codes.ts'
import { migrate } from '../migrate.ts'
import { openLedger } from '../open-ledger.ts'
import { openRequestedRun } from '../open-requested-run.ts'
import { options, settingsFrom, sourceForms, upTo999 } from '../options.ts'
import { answer, say } from '../print.ts'
import { person } from '../person.ts'
import { progressView } from '../progress-view.ts'
import { requestOf, type RunFlags } from '../run-request.ts'
import { statusText } from '../status-text.ts'
import { stopSignal } from '../stop-signal.ts'
import { keepReport } from '../write-report.ts'

interface Flags extends RunFlags {
  workers: number
  dashboard: boolean
  json: boolean
}

export function runCommand(command: Command): void {
  command
    .argument('<SOURCE>', sourceForms)
    .addOption(options.host())
    .addOption(options.apiKeyFile())
    .addOption(options.skipKeyCheck())
    .addOption(options.to())
    .addOption(options.run())
    .addOption(options.stage())
    .option('--workers <N>', 'worker processes on this machine; 0 where all work elsewhere', upTo999, 2)
    .addOption(options.mapping())
    .addOption(options.includeRecent())
    .addOption(options.maxRejected())
    .addOption(options.pace())
    .option('--no-dashboard', 'serve no dashboard')
    .addOption(options.json())
    .addHelpText(
      'after',
      `
The same command again goes on where it stopped, also after \`heapferry pause\`;
once the run is complete it sends nothing. Ctrl-C stops cleanly; killing it
loses nothing either. \`heapferry pace\` changes how fast it sends meanwhile.

The project key is read from POSTHOG_API_KEY, .env or --api-key-file, never from
the command line, which others can see. Files of JSON lines (--to) need none.

Examples:
  heapferry run ./heap-export --host eu --api-key-file ~/posthog.key
  heapferry run "unload/pageviews*" --mapping heapferry.yaml --run pageviews-only
  heapferry run s3://bucket/prefix --to jsonl:./events
  heapferry run redshift://heapferry@host:5439/heap/main_production --host us

Exit codes: 0 done · 1 failed or not finished · 3 done, with rejected rows ·
130 stopped by Ctrl-C`,
    )
    .action(run)
}

async function run(source: string, flags: Flags): Promise<void> {
  const settings = settingsFrom(flags)
  const { destination, apiKey } = requireDestination(settings)
  const request = requestOf(source, flags, { settings, destination })
  const logger = createLogger({ level: settings.LOG_LEVEL, role: 'run' })
  const stop = stopSignal('Stopping: workers finish their batches. Ctrl-C again ends at once, which loses nothing.')

  await assertReachable(destination, apiKey, settings)
  const opened = await openLedger(settings, logger, 'works')
  try {
    const production = await openRequestedRun(request, opened.ledger, settings, stop)
    if (production === null) {
      process.exitCode = exitCodes.stopped
      return
    }
    const { id } = production.run
    const fileLogger = createLogger({
      level: settings.LOG_LEVEL,
      role: 'run',
      file: homeOf(settings.HEAPFERRY_HOME).log(id, 'run'),
    })
    fileLogger.info({ run: id, settings: shownSettings(settings) }, 'run')
    await goOn(opened.ledger, production.run)
    for (const notice of production.notices) say(visible(notice))
    if (!flags.json)
      say(
        `Run ${id}: ${production.unloading === null ? `${production.files.length} files` : visible(production.run.source)} to ${visible(destinationText(destination))}`,
      )
    const startedAtMs = performance.now()
    const status = await migrate({
      production,
      opened,
      settings,
      workers: flags.workers,
      dashboard: flags.dashboard,
      view: progressView(flags.json),
      logger: fileLogger,
      stop,
    })
    if (status === null)
      throw new OperatorError('Redis did not answer at the end', 'The same command goes on where it was.')
    answer(flags.json ? visibleJson(status) : `\n${statusText(status)}`)
    if (hasCompleted(status)) await keepReport(production, opened, settings)
    if (!flags.json) say(closingWords(status, stop.aborted, (performance.now() - startedAtMs) / 1000))
    process.exitCode = exitCodeOf(status, stop.aborted)
  } finally {
    await opened.close()
  }
}

/** A person who starts the run command wants the run to go on, whoever paused it. */
async function goOn(ledger: RunLedger, paused: Run): Promise<void> {
  const progress = await ledger.progress(paused.id)
  const { intent } = progress
  if (intent.kind !== 'pause') return
  say(visible(`It was paused by ${intent.by} (${intent.reason}) and goes on now.`))
  await ledger.setIntent(paused.id, wantedToGoOn(paused, progress, person()))
}

function closingWords(status: RunStatus, stopped: boolean, seconds: number): string {
  const heldBack = status.totals.skipped_by_reason.held_back ?? 0
  const later =
    heldBack === 0
      ? ''
      : ` ${grouped(heldBack)} rows were younger than 48 hours: send them in two days with \`heapferry retry ${status.run} --reason held_back\`.`
  const took = `Took ${duration(seconds)}.${later}`
  switch (status.state) {
    case 'completed':
      return took
    case 'completed_with_rejected_rows':
      return `${took} \`heapferry rejected ${status.run}\` lists the rejected rows with file, row and byte.`
    case 'planning':
    case 'unloading':
    case 'running':
    case 'waiting_for_posthog':
    case 'pausing':
    case 'paused':
    case 'completing':
    case 'cancelled':
    case 'failed':
      return stopped
        ? 'Stopped. The same command goes on where it was.'
        : 'Not finished. The same command goes on where it was.'
  }
}

function exitCodeOf({ state }: RunStatus, stopped: boolean): number {
  if (state === 'completed') return exitCodes.done
  if (state === 'completed_with_rejected_rows') return exitCodes.doneWithRejectedRows
  return stopped ? exitCodes.stopped : exitCodes.failed
}
