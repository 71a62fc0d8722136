import { randomUUID } from 'node:crypto'
import { Command, Option } from 'commander'
import { createLogger, loadMapping, requireDestination } from '@heapferry/config'
import { type RejectReason, type RetryOutcome, type RunId, visibleJson } from '@heapferry/domain'
import { type LeftReason, type RetryWish, readRunStatus } from '@heapferry/migration'
import { assertReachable } from '../assert-reachable.ts'
import { exitCodes } from '../exit-codes.ts'
import { findRun, openLedger } from '../open-ledger.ts'
import { options, parseRunId, type ProjectFlags, settingsFrom } from '../options.ts'
import { answer } from '../print.ts'
import { assertRetriable, retryRun } from '../retry-run.ts'
import { retryText } from '../retry-text.ts'
import { retryView } from '../retry-view.ts'
import { withSourceHint } from '../source-hint.ts'
import { stopSignal } from '../stop-signal.ts'

interface Flags extends ProjectFlags {
  reason?: RejectReason | 'held_back'
  table?: string
  mapping?: string
  from?: string[]
  anyway: boolean
  /** The right to retry that the dashboard has taken for this process. */
  hold?: string
  json: boolean
}

/** The answer of `retry --json`. */
export interface RetryAnswer extends RetryOutcome {
  run: string
  left: Partial<Record<LeftReason | 'unmended' | 'retried_before', number>>
  /** All that are rejected now. */
  rejected_in_run: number
}

export function retryCommand(command: Command): void {
  command
    .argument('<RUN>', 'the name of a run', parseRunId)
    .addOption(options.reason(['held_back']))
    .addOption(options.table())
    .addOption(options.mapping())
    .option('--from <FILE...>', 'files that `rejected --out` wrote and you have mended')
    .option('--anyway', 'also rows that a retry which was cut off may have sent as other events', false)
    .addOption(options.host())
    .addOption(options.apiKeyFile())
    .addOption(options.skipKeyCheck())
    .addOption(options.to())
    .addOption(options.json())
    .addOption(new Option('--hold <TOKEN>').hideHelp())
    .addHelpText(
      'after',
      `
Only rejected rows are sent, people before events; all others of the run stay
as they are. Each is sent, skipped or rejected again, once: killed midway, the
same command goes on, and PostHog keeps one of each event.

--mapping reads and converts the rows as another mapping file says.
--from takes rows from mended files instead of the export. Lines may be deleted:
their rows stay rejected. Where no row could be read, mend its text in the
column raw, or fill in the columns.
--reason held_back sends rows that were younger than 48 hours when the run
began, and are older now.

Ends with 0 when none of the rows that it took up is left, with 3 when some are.

Examples:
  heapferry retry my-run --mapping heapferry.yaml
  heapferry retry my-run --reason event_name_too_long --mapping new.yaml
  heapferry retry my-run --from rows.csv
  heapferry retry my-run --reason held_back`,
    )
    .action(retry)
}

async function retry(this: Command, name: RunId, flags: Flags): Promise<void> {
  const wish = wishOf(this, flags)
  const settings = settingsFrom(flags)
  const { destination, apiKey } = requireDestination(settings)
  const stop = stopSignal('Stopping after this batch. The same command goes on.')
  const opened = await openLedger(settings, createLogger({ level: settings.LOG_LEVEL, role: 'retry' }), 'works')
  try {
    const { ledger } = opened
    const run = await findRun(ledger, name)
    const intent = await ledger.intent(run.id)
    assertRetriable(run, destination, intent.kind === 'cancel' ? intent.by : null)
    await assertReachable(destination, apiKey, settings)
    const { anyway, json, hold: token = randomUUID() } = flags
    const request = { run, wish, anyway, opened, settings, token, apiKey, view: retryView(json), stop }
    const { kind, outcome, counts, corrected } = await withSourceHint(run.id, () => retryRun(request))

    const status = await readRunStatus(run.id, ledger)
    const { retriedBefore = 0, unmended = 0 } = corrected ?? {}
    const left = { ...counts.left, unmended, retried_before: retriedBefore }
    const result: RetryAnswer = { run: run.id, ...outcome, left, rejected_in_run: status.totals.rejected }
    answer(json ? visibleJson(result) : retryText(result))
    const isLeft = Object.entries(left).some(([reason, rows]) => rows > 0 && reason !== 'retried_before')
    if (kind === 'interrupted') process.exitCode = exitCodes.stopped
    else if (outcome.rejected > 0 || isLeft) process.exitCode = exitCodes.doneWithRejectedRows
  } finally {
    await opened.close()
  }
}

function wishOf(command: Command, { reason, table, mapping, from }: Flags): RetryWish {
  const wrong = (message: string): never => command.error(`error: ${message}`, { exitCode: exitCodes.usage })
  if (reason === 'held_back') {
    if (mapping !== undefined || from !== undefined)
      wrong('rows that were held back are sent as the run has them: without --mapping and --from')
    return { kind: 'held_back', table }
  }
  const loaded = mapping === undefined ? null : loadMapping(mapping)
  if (from === undefined) return { kind: 'from_export', filter: { reason, table }, mapping: loaded }
  if (reason !== undefined || table !== undefined)
    wrong('--from sends all rows of its files: delete lines instead of giving --reason or --table')
  return { kind: 'from_files', files: from, mapping: loaded }
}
