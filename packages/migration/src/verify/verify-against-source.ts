import {
  addTallies,
  emptyTally,
  type ExportFile,
  type Identities,
  phaseOf,
  RejectReason,
  type Run,
  type RunLedger,
  SkipReason,
  type Slice,
  type SourceVerification,
  type TableProgress,
  type Tally,
} from '@heapferry/domain'
import { convertersOf } from '../converters.ts'
import { surveyRows } from '../export-plan/survey-rows.ts'
import { noIdentities } from '../identities.ts'
import { isRunComplete } from '../run-state.ts'
import { grouped } from '../wording.ts'

export interface SourceVerifyWork {
  ledger: Pick<RunLedger, 'progress' | 'files'>
  /** All rows of a file. */
  read(file: ExportFile): AsyncIterable<Slice>
  identities(): Promise<Identities>
  /** What hashes of the run are keyed with; null where it hashes nothing. */
  hashSalt: string | null
  by: string
  nowMs: number
  signal: AbortSignal
  onRows?(table: string, rows: number): void
}

/** Reasons that only PostHog gives: for the export alone such a row is an event like any other. */
const givenByPostHog: readonly RejectReason[] = ['refused_by_posthog']

/**
 * Compares what the ledger says of every table with a fresh read of the export, converted as the run does. Neither
 * checkpoints nor chunks have a part in it: the files are read from end to end.
 * @throws OperatorError when a file cannot be read, or is not the one that the run was planned with
 */
export async function verifyAgainstSource(run: Run, work: SourceVerifyWork): Promise<SourceVerification> {
  const { by, nowMs } = work
  const progress = await work.ledger.progress(run.id)
  const answer = { kind: 'source' as const, run: run.id, verified_at: new Date(nowMs).toISOString(), by }
  if (!isRunComplete(progress)) {
    const message = 'The run is not finished: its figures are those of a part of the export.'
    return { ...answer, verdict: 'pending', message, tables: [], notes: [] }
  }
  const files = await work.ledger.files(run.id)
  const ofPeople = files.some(({ table }) => phaseOf(table.kind) === 'identities')
  const converterFor = convertersOf(run, ofPeople ? await work.identities() : noIdentities, work.hashSalt)
  const tallies = new Map<string, Tally>()
  for (const file of files) {
    const { name } = file.table
    const { add, survey } = surveyRows(file.table, { converterFor, nowMs: run.createdAtMs })
    const before = tallies.get(name) ?? emptyTally
    for await (const { rows } of work.read(file)) {
      work.signal.throwIfAborted()
      for (const row of rows) add(row, { file: file.path, ...row.place })
      work.onRows?.(name, before.read + survey.tally.read)
    }
    tallies.set(name, addTallies(before, survey.tally))
  }

  const names = new Set([...tallies.keys(), ...progress.tables.map(({ table }) => table)])
  const tables = [...names].toSorted().map((name) =>
    compared(
      name,
      progress.tables.find(({ table }) => table === name),
      tallies.get(name) ?? emptyTally,
    ),
  )
  const differing = tables.filter(({ differs }) => differs)
  const refused = progress.tables.reduce((sum, { tally }) => sum + refusedByPostHog(tally), 0)
  const isShort = differing.some(({ figures }) =>
    figures.some(({ figure, ledger, source }) => (figure === 'read' || figure === 'sent') && ledger < source),
  )
  return {
    ...answer,
    verdict: differing.length === 0 ? 'verified' : isShort ? 'missing' : 'surplus',
    message:
      differing.length === 0
        ? `The ledger says of all ${grouped(tables.length)} tables what a fresh read of the export says.`
        : `The ledger and a fresh read of the export differ in ${differing.map(({ table }) => table).join(', ')}.`,
    tables,
    notes:
      refused === 0
        ? []
        : [`Rows that PostHog refused: ${grouped(refused)}. The export cannot tell that, so they count as sent here.`],
  }
}

/** The figures of a table, those that are 0 on both sides left out. */
function compared(
  table: string,
  progress: TableProgress | undefined,
  source: Tally,
): SourceVerification['tables'][number] {
  const ledger = progress?.tally ?? emptyTally
  const pairs: [figure: string, ledger: number, source: number][] = [
    ['planned', progress?.planned ?? 0, source.read],
    ['read', ledger.read, source.read],
    ['sent', ledger.sent + refusedByPostHog(ledger), source.sent],
    ...SkipReason.options.map((reason): [string, number, number] => [
      `skipped.${reason}`,
      ledger.skipped[reason] ?? 0,
      source.skipped[reason] ?? 0,
    ]),
    ...RejectReason.options
      .filter((reason) => !givenByPostHog.includes(reason))
      .map((reason): [string, number, number] => [
        `rejected.${reason}`,
        ledger.rejected[reason] ?? 0,
        source.rejected[reason] ?? 0,
      ]),
  ]
  const figures = pairs.map(([figure, inLedger, inSource]) => ({ figure, ledger: inLedger, source: inSource }))
  return {
    table,
    figures: figures.filter((one) => one.ledger > 0 || one.source > 0),
    differs: figures.some((one) => one.ledger !== one.source),
  }
}

function refusedByPostHog({ rejected }: Tally): number {
  return givenByPostHog.reduce((sum, reason) => sum + (rejected[reason] ?? 0), 0)
}
