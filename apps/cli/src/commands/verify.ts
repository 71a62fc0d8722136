import { createLogger, hashSaltFor, type Settings } from '@heapferry/config'
import {
  type Run,
  type RunId,
  type Verdict,
  type Verification,
  type VerifyProgress,
  visible,
  visibleJson,
} from '@heapferry/domain'
import { type CountOfPeople, type DayOfEvent, duration, grouped, verifyAgainstSource } from '@heapferry/migration'
import { Command, InvalidArgumentError } from 'commander'
import { exitCodes } from '../exit-codes.ts'
import { findRun, type OpenLedger, openLedger } from '../open-ledger.ts'
import { openRunExport } from '../open-run-export.ts'
import { options, parseRunId, type ProjectFlags, settingsFrom } from '../options.ts'
import { type PassingLine, passingLine } from '../passing-line.ts'
import { person } from '../person.ts'
import { answer, say } from '../print.ts'
import { shortened } from '../status-text.ts'
import { stopSignal } from '../stop-signal.ts'
import { verificationText } from '../verification-text.ts'
import { verifyRun } from '../verify-run.ts'

interface Flags extends ProjectFlags {
  offline: boolean
  wait: number
  lag: number
  people: boolean | undefined
  json: boolean
}

export function verifyCommand(command: Command): void {
  command
    .argument('[RUN]', 'the name of a run; else the newest', parseRunId)
    .option('--offline', 'compare the ledger with a fresh read of the export instead; asks nobody', false)
    .option('--wait <MINUTES>', 'look again and again for so long while events are on their way', minutes, 0)
    .option('--lag <MINUTES>', 'after so long nothing is on its way any more', minutes, 60)
    .option('--people', 'count people too, which reads a large export once more')
    .option('--no-people', 'leave that out, also where the export is small')
    .addOption(options.host())
    .addOption(options.personalKeyFile())
    .addOption(options.project())
    .addOption(options.json())
    .addHelpText(
      'after',
      `
Asks PostHog with a personal key, which is read from POSTHOG_PERSONAL_API_KEY,
.env or --personal-key-file (scopes query:read and project:read). Where less is
found than was sent, the export is read again: rows that it repeats are one
event. People are sampled: ids that were merged must belong to one person. The
people under each event and month are counted in the export and in PostHog
(--people; by itself up to 2 million rows).

Exit codes: 0 verified · 4 pending: not all has arrived, look again ·
            5 missing · 6 surplus: more is there than was sent ·
            1 it cannot be told · 130 stopped by Ctrl-C

Examples:
  heapferry verify
  heapferry verify heap-export-3fa2c1d0 --wait 60 --personal-key-file phx.key
  heapferry verify --offline`,
    )
    .action(verify)
}

async function verify(name: RunId | undefined, flags: Flags): Promise<void> {
  const settings = settingsFrom(flags)
  const stop = stopSignal('Stopping.')
  const opened = await openLedger(settings, createLogger({ level: settings.LOG_LEVEL, role: 'verify' }), 'works')
  try {
    const run = await findRun(opened.ledger, name)
    const progress = passingLine(progressText)
    const look = flags.offline ? againstSource : againstPostHog
    const { verification, ...listed } = await look(run, { opened, settings, flags, stop, progress }).finally(
      progress.end,
    )
    answer(flags.json ? visibleJson({ ...verification, ...listed }) : verificationText(verification))
    if (!flags.json && verification.kind === 'posthog' && verification.look_again_at !== null)
      say(
        `\nLook again at ${verification.look_again_at.slice(11, 16)} UTC, or let it wait: heapferry verify ${run.id} --wait 60`,
      )
    process.exitCode = exitCodeOf(verification.verdict)
  } catch (error) {
    if (!stop.aborted) throw error
    process.exitCode = exitCodes.stopped
  } finally {
    await opened.close()
  }
}

interface Work {
  opened: OpenLedger
  settings: Settings
  flags: Flags
  stop: AbortSignal
  progress: PassingLine<VerifyProgress>
}

/** With what only --json lists. */
type Verified = {
  verification: Verification
  days?: readonly DayOfEvent[]
  people_by_month?: readonly CountOfPeople[] | null
}

async function againstSource(run: Run, { opened: { ledger }, settings, stop, progress }: Work): Promise<Verified> {
  const exported = await openRunExport(run, ledger, settings, stop)
  try {
    const verification = await verifyAgainstSource(run, {
      ledger,
      source: exported.source,
      identities: exported.identities,
      hashSalt: hashSaltFor(run.mapping, settings),
      by: person(),
      nowMs: await ledger.nowMs(run.id),
      signal: stop,
      onRows: (table, rows) => progress.show({ kind: 'reading', table, rows }),
    })
    await ledger.setVerification(run.id, verification)
    return { verification }
  } finally {
    await exported.close()
  }
}

async function againstPostHog(run: Run, { opened, settings, flags, stop, progress }: Work): Promise<Verified> {
  const seen = await verifyRun(run, {
    ledger: opened.ledger,
    settings,
    by: person(),
    people: flags.people,
    lagMs: flags.lag * minuteMs,
    waitMs: flags.wait * minuteMs,
    stop,
    onProgress: progress.show,
    onWaiting: sayWaiting,
    onLookingAgain: ({ found, expected }, forMs) =>
      say(`${grouped(found)} of ${grouped(expected)} events are found. Looking again in ${duration(forMs / 1000)}.`),
  })
  return { verification: seen.verification, days: seen.days, people_by_month: seen.peopleByMonth }
}

function sayWaiting(detail: string, forMs: number): void {
  say(`${visible(detail)}. Asking again in ${duration(forMs / 1000)}.`)
}

const minuteMs = 60_000

function exitCodeOf(verdict: Verdict): number {
  switch (verdict) {
    case 'verified':
      return exitCodes.done
    case 'pending':
      return exitCodes.pending
    case 'missing':
      return exitCodes.missing
    case 'surplus':
      return exitCodes.surplus
  }
}

function progressText(progress: VerifyProgress): string {
  return progress.kind === 'asking'
    ? 'Asking PostHog what it holds'
    : `Reading the export again: ${shortened(progress.table, 40)}, ${grouped(progress.rows)} rows`
}

function minutes(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number of minutes, from 0 to 9999')
}
