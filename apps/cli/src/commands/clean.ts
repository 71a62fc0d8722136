import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import {
  type Kept,
  keptAs,
  keptKinds,
  type KeptFiles,
  OperatorError,
  phases,
  type Run,
  type RunId,
  visible,
  visibleJson,
} from '@heapferry/domain'
import { counted, grouped, hasCompleted, readRun } from '@heapferry/migration'
import { assertGranted, isWarehouse, openKeptFiles, openWorkStore } from '@heapferry/sources'
import { Command } from 'commander'
import { exitCodes } from '../exit-codes.ts'
import { sizeText } from '../figure-text.ts'
import { findRun, type OpenLedger } from '../open-ledger.ts'
import { options, parseRunId } from '../options.ts'
import { person } from '../person.ts'
import { answer, say } from '../print.ts'
import { withLedger } from '../with-ledger.ts'

interface Flags {
  yes: boolean
  json: boolean
}

export function cleanCommand(command: Command): void {
  command
    .argument('<RUN>', 'the name of a run that is completed or cancelled', parseRunId)
    .option('--yes', 'do not ask', false)
    .addOption(options.json())
    .addHelpText(
      'after',
      `
Deletes what heapferry has put into the work store for the run: the stage of a
warehouse, who is who, indexes of sessions, what was first of people, and what
the run may read. Nothing else: no export, no file that it did not make, no log
and no report, and nothing in the bucket of --stage. What the ledger knows of
the run stays, and so do status, runs, report, verify and the run page.

Afterwards retry, rejected --out and verify --offline cannot read rows of the
run: of a warehouse never again, of an export until the same run command was
started again.

Exit codes: 0 deleted, or nothing was left · 1 not deleted`,
    )
    .action((name: RunId, flags: Flags) => withLedger((opened, settings) => clean(name, opened, settings, flags)))
}

interface Found {
  path: string
  sizeBytes: number
  kept: Kept
}

async function clean(name: RunId, { ledger }: OpenLedger, settings: Settings, flags: Flags): Promise<void> {
  const run = await findRun(ledger, name)
  const rows = await assertOver(run, ledger)
  const kept = await openKeptFiles(workStoreOf(settings), s3OptionsOf(settings))
  try {
    const { made, others } = await filesOf(run.id, kept)
    const isStaged = isWarehouse(run.source)
    const before = (await ledger.timeline(run.id)).findLast(({ kind }) => kind === 'cleaned')
    if (made.length === 0 && before !== undefined) return tell(run, { made, others, root: kept.root }, flags)
    await assertOfRun(run, made, { kept, settings, isStaged: isStaged && before === undefined })
    say(told(run, { made, rows, isStaged, root: kept.root }).join('\n'))
    if (!flags.yes && !(await isWanted(run.id))) {
      say('Nothing was deleted.')
      process.exitCode = exitCodes.failed
      return
    }
    // Somebody may have begun something while the question stood there.
    await assertOver(run, ledger)
    const bytes = made.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    // Said first: who finds some of it gone is to know why.
    await ledger.record(run.id, {
      kind: 'cleaned',
      atMs: await ledger.nowMs(run.id),
      by: person(),
      files: made.length,
      bytes,
      stage: isStaged,
    })
    for (const { path } of made) await kept.remove(path)
    tell(run, { made, others, root: kept.root }, flags)
  } finally {
    kept.close()
  }
}

/**
 * @returns rows that a retry could still send
 * @throws OperatorError when somebody still works on the run, or is going to
 */
async function assertOver({ id }: Run, ledger: OpenLedger['ledger']): Promise<{ rejected: number; heldBack: number }> {
  const { status, progress } = await readRun(id, ledger)
  if (!hasCompleted(status) && status.state !== 'cancelled')
    throw new OperatorError(
      `${id} is not over, and needs what is kept of it: ${status.message}`,
      `Let it come to its end, or stop it for good with heapferry cancel ${id}.`,
    )
  const queues = await Promise.all(phases.map((phase) => ledger.queueState(id, phase)))
  const active = queues.reduce((sum, queue) => sum + queue.active, 0)
  if (active > 0)
    throw new OperatorError(
      `Workers still have ${counted(active, 'chunk')} of ${id} in hand`,
      'They put them down within seconds; one that was killed keeps its chunks for ten. Then start the same command again.',
    )
  await assertNoProducer(id, progress.producedAtMs, ledger)
  const retry = await ledger.retryUnderWay(id)
  if (retry !== null)
    throw new OperatorError(
      `${visible(retry.by)} retries rows of ${id}`,
      'Start the same command again when that has ended.',
    )
  const { rejected, skipped_by_reason } = status.totals
  return { rejected, heldBack: skipped_by_reason.held_back ?? 0 }
}

// A producer says every two seconds that it is there.
const silentMs = 10_000
const lookEveryMs = 500

/** One that has ended does not say so: it is told by its silence, which is waited for. */
async function assertNoProducer(id: RunId, firstMs: number | null, ledger: OpenLedger['ledger']): Promise<void> {
  for (let looks = 0; firstMs !== null; looks++) {
    const { producedAtMs, nowMs } = await ledger.progress(id)
    if (nowMs - firstMs >= silentMs) return
    if (producedAtMs !== firstMs)
      throw new OperatorError(
        `A run or enqueue command is at ${id}`,
        'End it, or wait until it has ended. Then start the same command again.',
      )
    if (looks === 0) say(`A command was at ${id} a moment ago: waiting for up to 10 s whether it still is.`)
    await sleep(lookEveryMs)
  }
}

async function filesOf(run: RunId, kept: KeptFiles): Promise<{ made: Found[]; others: string[] }> {
  const found = await kept.ofRun(run)
  const made = found.flatMap(({ path, sizeBytes }) => {
    const as = keptAs(run, path)
    return as === null ? [] : [{ path, sizeBytes, kept: as }]
  })
  return {
    // The grant tells whose the others are, so it goes last.
    made: [...made.filter((one) => one.kept !== 'grant'), ...made.filter((one) => one.kept === 'grant')],
    others: found.flatMap(({ path }) =>
      keptAs(run, path) === null && path.startsWith(`${run}/`) ? [path.slice(run.length + 1)] : [],
    ),
  }
}

/** A run of another Redis may have the same name, and another work store may be meant. */
async function assertOfRun(
  run: Run,
  made: readonly Found[],
  { kept: { root }, settings, isStaged }: { kept: KeptFiles; settings: Settings; isStaged: boolean },
): Promise<void> {
  if (made.length === 0 || (isStaged && !made.some(({ kept }) => kept === 'stage')))
    throw new OperatorError(
      `The work store ${root} has ${made.length === 0 ? 'nothing' : 'no stage'} of ${run.id}`,
      'Give this command the HEAPFERRY_WORK_STORE (or HEAPFERRY_HOME) that the run was begun with.',
    )
  if (!made.some(({ kept }) => kept === 'grant')) return
  const store = await openWorkStore(workStoreOf(settings), s3OptionsOf(settings))
  try {
    await assertGranted(run, store)
  } finally {
    store.close()
  }
}

interface ToDelete {
  made: readonly Found[]
  rows: { rejected: number; heldBack: number }
  isStaged: boolean
  root: string
}

function told({ id, root: exportRoot }: Run, { made, rows, isStaged, root }: ToDelete): string[] {
  const { rejected, heldBack } = rows
  const left = [
    ...(rejected === 0 ? [] : [`${counted(rejected, 'row')} of it ${rejected === 1 ? 'was' : 'were'} rejected`]),
    ...(heldBack === 0 ? [] : [`${grouped(heldBack)} ${heldBack === 1 ? 'is' : 'are'} held back`]),
  ]
  return [
    `Of ${id} the work store ${visible(root)} has:`,
    ...groups(made).map(({ what, files, bytes }) => `  ${names[what]}: ${counted(files, 'file')}, ${sizeText(bytes)}`),
    ...(left.length === 0
      ? []
      : [`${left.join(' and ')}: heapferry retry ${id} could send them, and cannot afterwards.`]),
    isStaged
      ? 'Without it retry, rejected --out and verify --offline cannot read its rows any more, and the same run command does not go on: what was unloaded is nowhere else. status, report, verify and the run page stay as they are.'
      : 'Without it retry, rejected --out and verify --offline wait for the same run command, which makes it again as long as the export is there. status, report, verify and the run page stay as they are.',
    ...(isStaged && isElsewhere(exportRoot, root)
      ? [`What the warehouse has written to ${visible(exportRoot)} stays: it is yours to delete.`]
      : []),
  ]
}

function isElsewhere(exportRoot: string, root: string): boolean {
  return !exportRoot.startsWith(`${root.replace(/\/+$/, '')}/`)
}

/** Of a person at a terminal. @throws OperatorError where nobody can be asked */
async function isWanted(run: RunId): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new OperatorError(
      `Nobody can be asked whether that is to be deleted: this is no terminal`,
      `Nothing was deleted. heapferry clean ${run} --yes deletes it without asking.`,
    )
  process.stderr.write('Delete it? Type yes: ')
  const [typed] = await once(process.stdin, 'data')
  process.stdin.pause()
  return /^y(?:es)?$/i.test(String(typed).trim())
}

function tell(
  { id }: Run,
  { made, others, root }: { made: readonly Found[]; others: readonly string[]; root: string },
  { json }: Flags,
): void {
  const bytes = made.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const deleted = groups(made)
  if (json) return answer(visibleJson({ run: id, work_store: root, files: made.length, bytes, deleted, left: others }))
  if (made.length === 0) answer(`Nothing of ${id} is left in ${visible(root)}: it was cleaned before.`)
  else answer(`Deleted of ${id}: ${counted(made.length, 'file')} with ${grouped(bytes)} bytes (${sizeText(bytes)}).`)
  if (others.length > 0) {
    const shown = others.slice(0, shownOthers).map(visible).join(', ')
    const more = others.length > shownOthers ? ` and ${grouped(others.length - shownOthers)} more` : ''
    answer(`Left in its folder, as it is none of that: ${shown}${more}.`)
  }
}

const shownOthers = 10

const names: Readonly<Record<Kept, string>> = {
  stage: 'stage of the warehouse',
  identities: 'who is who',
  sessions: 'index of sessions',
  first_touch: 'what was first of people',
  grant: 'what the run may read',
}

function groups(made: readonly Found[]): { what: Kept; files: number; bytes: number }[] {
  return keptKinds.flatMap((what) => {
    const files = made.filter(({ kept }) => kept === what)
    if (files.length === 0) return []
    return { what, files: files.length, bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) }
  })
}
