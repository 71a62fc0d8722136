import { Command } from 'commander'
import { s3OptionsOf, type Settings, workStoreOf } from '@heapferry/config'
import {
  type ExportFile,
  type RejectedRow,
  type RejectReason,
  type Run,
  type RunId,
  visible,
  visibleJson,
} from '@heapferry/domain'
import {
  exportRejected,
  filesOf,
  counted,
  grouped,
  groupRejected,
  isMeant,
  placesOf,
  type RowFilter,
  type RowPlaces,
} from '@heapferry/migration'
import { openRunSource } from '@heapferry/sources'
import { exitCodes } from '../exit-codes.ts'
import { findRun, type OpenLedger } from '../open-ledger.ts'
import { options, parseRunId } from '../options.ts'
import { answer, answerLines, say } from '../print.ts'
import { noneText, rejectedText } from '../rejected-text.ts'
import { withSourceHint } from '../source-hint.ts'
import { stopSignal } from '../stop-signal.ts'
import { withLedger } from '../with-ledger.ts'
import { writeRows } from '../write-rows.ts'

interface Flags {
  reason?: RejectReason
  table?: string
  all: boolean
  json: boolean
  out?: string
  force: boolean
}

export function rejectedCommand(command: Command): void {
  command
    .argument('[RUN]', 'the name of a run; else the newest', parseRunId)
    .addOption(options.reason())
    .addOption(options.table())
    .option('--all', 'every row in a line of its own', false)
    .option('--out <FILE>', 'write the rows themselves as CSV, with reason and place in front')
    .option('--force', 'replace the file of --out if it is there', false)
    .addOption(options.json())
    .addHelpText(
      'after',
      `
Rows with the same fault are shown as one group, with the first of them: file,
row (1 is the first after the header) and the byte it starts at. With --json
every row is an object in a line of its own.

--out reads the rows again from the export. Rows of several tables go into a
file each: rows-TABLE.csv. Mend them there, or fix the mapping, and send them
with heapferry retry. The files hold personal data; only you may read them.

Examples:
  heapferry rejected
  heapferry rejected my-run --table pageviews --reason damaged_id --all
  heapferry rejected my-run --out rows.csv`,
    )
    .action((name: RunId | undefined, flags: Flags) =>
      withLedger(async (opened, settings) => {
        const run = await findRun(opened.ledger, name)
        if (flags.out !== undefined) await writeFiles(run, { ...flags, out: flags.out }, opened, settings)
        else if (flags.all || flags.json) await listRows(run, flags, opened)
        else await showGroups(run, flags, opened)
      }),
    )
}

async function showGroups({ id }: Run, filter: RowFilter, { ledger }: OpenLedger): Promise<void> {
  const paths = new Map((await ledger.files(id)).map((file) => [file.id, file.path]))
  async function* meant(): AsyncGenerator<RejectedRow> {
    for await (const row of ledger.rejectedRows(id)) if (isMeant(row, filter)) yield row
  }
  answer(rejectedText(id, await groupRejected(meant(), (file) => paths.get(file) ?? file)))
}

async function listRows({ id }: Run, flags: Flags, { ledger }: OpenLedger): Promise<void> {
  const places = await placesOf(ledger.rejectedRows(id), flags)
  const files = filesOf(places, await ledger.files(id)).toSorted((a, b) => (a.path < b.path ? -1 : 1))
  if (files.length === 0 && !flags.json) answer(noneText(id))
  async function* lines(): AsyncGenerator<string> {
    for (const file of files)
      for await (const row of storedRows(id, file, places, ledger)) yield lineOf(row, file, flags)
  }
  await answerLines(lines())
}

const rowsPerCall = 1000

/** In the order of the file. */
async function* storedRows(
  run: RunId,
  file: ExportFile,
  places: RowPlaces,
  ledger: OpenLedger['ledger'],
): AsyncGenerator<RejectedRow> {
  let keys = []
  for (const place of places.in(file.id)) {
    keys.push(place)
    if (keys.length < rowsPerCall) continue
    yield* found(await ledger.rejectedAt(run, keys))
    keys = []
  }
  yield* found(await ledger.rejectedAt(run, keys))
}

function found(rows: readonly (RejectedRow | null)[]): RejectedRow[] {
  return rows.filter((row) => row !== null)
}

function lineOf(rejected: RejectedRow, file: ExportFile, { json }: Flags): string {
  const { chunk: _, file: __, ...rest } = rejected
  if (json) return visibleJson({ file: file.path, ...rest })
  const { row, byte, reason, detail } = rejected
  const place = `${file.path}: row ${grouped(row)} (byte ${grouped(byte)})`
  return visible(`${place}: ${reason}: ${detail}`)
}

async function writeFiles(
  run: Run,
  { out, ...flags }: Flags & { out: string },
  { ledger }: OpenLedger,
  settings: Settings,
): Promise<void> {
  const stop = stopSignal('Stopping: what is not whole is not written.')
  const places = await placesOf(ledger.rejectedRows(run.id), flags)
  const files = filesOf(places, await ledger.files(run.id))
  const source = await openRunSource(run, { store: workStoreOf(settings), s3: s3OptionsOf(settings) })
  try {
    const tables = exportRejected(places, files, { run: run.id, ledger, source })
    const { force } = flags
    const written = await withSourceHint(run.id, () => writeRows(tables, out, { force, signal: stop }))
    if (flags.json) answer(visibleJson(written))
    else if (written.length === 0) answer(noneText(run.id))
    else {
      for (const { file, rows } of written) answer(`${visible(file)}: ${counted(rows, 'row')}`)
      say(`Mend them there and give them back: heapferry retry ${run.id} --from ${visible(written[0]?.file ?? out)}`)
    }
  } catch (error) {
    if (!stop.aborted) throw error
    process.exitCode = exitCodes.stopped
  } finally {
    source.close()
  }
}
