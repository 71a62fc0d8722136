import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashSaltFor, createLogger, fingerprintOf, requireQueries, type Settings } from '@heapferry/config'
import {
  OperatorError,
  type Run,
  type RunId,
  type Verdict,
  type Verification,
  visible,
  visibleJson,
} from '@heapferry/domain'
import {
  type CountOfPeople,
  duration,
  grouped,
  type Look,
  type VerifiedDay,
  verifyAgainstPostHog,
  verifyAgainstSource,
  type VerifyProgress,
} from '@heapferry/migration'
import { createQueries } from '@heapferry/posthog'
import { Command, InvalidArgumentError } from 'commander'
import { isDeepStrictEqual } from 'node:util'
import { exitCodes } from '../exit-codes.ts'
import { findRun, type OpenLedger, openLedger } from '../open-ledger.ts'
import { openRunExport } from '../open-run-export.ts'
import { openScratch } from '../open-scratch.ts'
import { options, parseRunId, type ProjectFlags, settingsFrom } from '../options.ts'
import { type PassingLine, passingLine } from '../passing-line.ts'
import { person } from '../person.ts'
import { answer, say } from '../print.ts'
import { shortened } from '../status-text.ts'
import { stopSignal } from '../stop-signal.ts'
import { verificationText } from '../verification-text.ts'

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
    await opened.ledger.setVerification(run.id, verification)
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
  days?: readonly VerifiedDay[]
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
      onRows: (table, rows) => progress.show({ doing: 'reading', table, rows }),
    })
    return { verification }
  } finally {
    await exported.close()
  }
}

async function againstPostHog(run: Run, work: Work): Promise<Verified> {
  const { opened, settings, flags, stop, progress } = work
  const { ledger } = opened
  const { appHost, personalKey } = requireQueries(settings, run.destination)
  const queries = createQueries({ appHost, personalKey, signal: stop, onWaiting: sayWaiting })
  const exported = await openRunExport(run, ledger, settings, stop)
  const scratch = openScratch(path.join(settings.HEAPFERRY_HOME, 'runs', run.id))
  const breakOff = (): void => void queries.close()
  stop.addEventListener('abort', breakOff)
  try {
    const project = await queries.findProject(settings.POSTHOG_PROJECT_ID, keyTest(run, settings))
    const verifying = verifyAgainstPostHog(run, {
      ledger,
      countEvents: (ranges) => queries.countEvents(project.id, run.id, ranges),
      personIds: (ids) => queries.personIds(project.id, ids),
      countPeople: (ranges) => queries.countPeople(project.id, run.id, ranges),
      idsOfEvent: (of) => queries.idsOfEvent(project.id, run.id, of),
      countEventsOfPeople: (of) => queries.countEventsOfPeople(project.id, run.id, of),
      people: flags.people,
      source: exported.source,
      identities: exported.identities,
      hashSalt: hashSaltFor(run.mapping, settings),
      scratch,
      by: person(),
      notes: [
        ...(project.confirmed
          ? []
          : [
              `The personal key may not read the project ${project.id}, so nothing tells whether it is the one of the run.`,
            ]),
        ...(await laterRunNotes(run, ledger)),
      ],
      lagMs: flags.lag * minuteMs,
      signal: stop,
      onProgress: progress.show,
    })
    const seen = await lookUntilSettled(async () => verifying.look(await ledger.nowMs(run.id)), flags.wait * minuteMs, stop)
    return { verification: seen.verification, days: seen.days, people_by_month: seen.peopleByMonth }
  } finally {
    stop.removeEventListener('abort', breakOff)
    await exported.close()
    await scratch.close()
    await queries.close()
  }
}

function sayWaiting(detail: string, forMs: number): void {
  say(`${visible(detail)}. Asking again in ${duration(forMs / 1000)}.`)
}

const minuteMs = 60_000
const firstPauseMs = 2000
const longestPauseMs = 5 * minuteMs

async function lookUntilSettled(look: () => Promise<Look>, waitMs: number, stop: AbortSignal): Promise<Look> {
  const untilMs = performance.now() + waitMs
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const seen = await look()
    const { verdict, totals } = seen.verification
    const forMs = Math.min(pauseMs, untilMs - performance.now())
    if (verdict !== 'pending' || forMs <= 0) return seen
    say(
      `${grouped(totals.found)} of ${grouped(totals.expected)} events are found. Looking again in ${duration(forMs / 1000)}.`,
    )
    await sleep(forMs, undefined, { signal: stop })
  }
}

/** Whether a project is the one that the run was sent to. Files may have been imported into any: the user says which. */
function keyTest({ destination }: Run, { POSTHOG_PROJECT_ID: project }: Settings): (apiToken: string) => boolean {
  if (destination.kind === 'posthog') return (apiToken) => fingerprintOf(apiToken) === destination.keyFingerprint
  if (project !== undefined) return () => true
  throw new OperatorError(
    `The run wrote files (${destination.root}); nothing says which project imported them`,
    'Set POSTHOG_PROJECT_ID (--project) to the number of that project.',
  )
}

/** What is sent again carries the name of the run that sent it last. */
async function laterRunNotes(run: Run, ledger: OpenLedger['ledger']): Promise<string[]> {
  const later = (await ledger.runs()).filter(
    (other) =>
      other.createdAtMs > run.createdAtMs &&
      other.root === run.root &&
      isDeepStrictEqual(other.destination, run.destination),
  )
  if (later.length === 0) return []
  const names = later.map(({ id }) => id).join(', ')
  return [
    `Later runs of the same export: ${names}. Events that they sent again carry their name now; verify those runs.`,
  ]
}

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
  return progress.doing === 'asking'
    ? 'Asking PostHog what it holds'
    : `Reading the export again: ${shortened(progress.table, 40)}, ${grouped(progress.rows)} rows`
}

function minutes(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number of minutes, from 0 to 9999')
}
