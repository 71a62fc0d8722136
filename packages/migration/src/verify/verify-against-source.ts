import {
  countOf,
  emptyTally,
  type FileLedger,
  type Identities,
  phaseOf,
  type RejectedLedger,
  RejectReason,
  type Run,
  type RunLedger,
  SkipReason,
  type Source,
  type SourceVerification,
  type TableProgress,
  type Tally,
  type TimelineLedger,
} from '@heapferry/domain'
import { convertersOf } from '../converters.ts'
import { countEnd, endOfRow } from '../end-of-row.ts'
import { noIdentities } from '../identities/no-identities.ts'
import { readAhead } from '../read-ahead.ts'
import { isEveryChunkDone } from '../run-state.ts'
import { grouped } from '../wording.ts'
import { rowsByFile } from './recount.ts'

export interface SourceVerifyWork {
  ledger: Pick<
    RunLedger & FileLedger & TimelineLedger & RejectedLedger,
    'progress' | 'files' | 'timeline' | 'rejectedRows' | 'retriedRows'
  >
  source: Pick<Source, 'readAll'>
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
  if (!isEveryChunkDone(progress)) {
    const message = 'The run is not finished: its figures are those of a part of the export.'
    return { ...answer, verdict: 'pending', message, tables: [], notes: [] }
  }
  const files = await work.ledger.files(run.id)
  const ofPeople = files.some(({ table }) => phaseOf(table.kind) === 'identities')
  const converterFor = convertersOf(run, ofPeople ? await work.identities() : noIdentities, work.hashSalt)
  const wasRetried = (await work.ledger.timeline(run.id)).some(({ kind }) => kind === 'retried')
  const rejected = await rowsByFile(files, work.ledger.rejectedRows(run.id))
  const retried = await rowsByFile(files, work.ledger.retriedRows(run.id))
  const tallies = new Map<string, Tally>()
  const rejectedRows = new Map<string, number>()
  for await (const { file, slices } of readAhead(files, work.source.readAll)) {
    const { name } = file.table
    const isRejected = rejected.get(file.id)
    const isRetried = retried.get(file.id)
    const tally = tallies.get(name) ?? structuredClone(emptyTally)
    tallies.set(name, tally)
    for await (const { rows } of slices) {
      work.signal.throwIfAborted()
      for (const row of rows) {
        const end = endOfRow(row, file.table, converterFor)
        countEnd(tally, end)
        const number = row.place.row
        if (isRetried?.has(number) || (end.kind !== 'reject' && !isRejected?.has(number))) continue
        rejectedRows.set(name, (rejectedRows.get(name) ?? 0) + 1)
      }
      work.onRows?.(name, tally.read)
    }
  }

  const names = new Set([...tallies.keys(), ...progress.tables.map(({ table }) => table)])
  const tables = [...names].toSorted().map((name) => {
    const ledger = progress.tables.find(({ table }) => table === name) ?? { planned: 0, tally: emptyTally }
    const source = tallies.get(name) ?? emptyTally
    const figures = wasRetried ? endsOf(ledger, source, rejectedRows.get(name) ?? 0) : figuresOf(ledger, source)
    return {
      table: name,
      figures: figures.filter((one) => one.ledger > 0 || one.source > 0),
      differs: figures.some((one) => one.ledger !== one.source),
    }
  })
  const differing = tables.filter(({ differs }) => differs)
  const refused = progress.tables.reduce((sum, { tally }) => sum + refusedByPostHog(tally), 0)
  const isShort = differing.some(({ figures }) =>
    figures.some(({ figure, ledger, source }) => /^(?:read|sent)/.test(figure) && ledger < source),
  )
  return {
    ...answer,
    verdict: differing.length === 0 ? 'verified' : isShort ? 'missing' : 'surplus',
    message:
      differing.length === 0
        ? 'The ledger says of every table what a fresh read of the export says.'
        : `The ledger and a fresh read of the export differ in ${differing.map(({ table }) => table).join(', ')}.`,
    tables,
    notes: [
      ...(refused === 0 || wasRetried
        ? []
        : [`Rows that PostHog refused: ${grouped(refused)}. The export cannot tell that, so they count as sent here.`]),
      ...(wasRetried
        ? ['Rows were sent again by retries, perhaps with another mapping or mended, so reasons are not compared.']
        : []),
    ],
  }
}

type Figures = SourceVerification['tables'][number]['figures']

function figuresOf({ planned, tally }: Pick<TableProgress, 'planned' | 'tally'>, source: Tally): Figures {
  const pairs: [figure: string, ledger: number, source: number][] = [
    ['planned', planned, source.read],
    ['read', tally.read, source.read],
    ['sent', tally.sent + refusedByPostHog(tally), source.sent],
    ...SkipReason.options.map((reason): [string, number, number] => [
      `skipped.${reason}`,
      tally.skipped[reason] ?? 0,
      source.skipped[reason] ?? 0,
    ]),
    ...RejectReason.options
      .filter((reason) => !givenByPostHog.includes(reason))
      .map((reason): [string, number, number] => [
        `rejected.${reason}`,
        tally.rejected[reason] ?? 0,
        source.rejected[reason] ?? 0,
      ]),
  ]
  return pairs.map(([figure, ledger, ofSource]) => ({ figure, ledger, source: ofSource }))
}

/** What can be compared after retries: every row that the export tells to be wrong is rejected still, or was retried. */
function endsOf(
  { planned, tally }: Pick<TableProgress, 'planned' | 'tally'>,
  source: Tally,
  rejected: number,
): Figures {
  return [
    { figure: 'planned', ledger: planned, source: source.read },
    { figure: 'read', ledger: tally.read, source: source.read },
    { figure: 'sent or skipped', ledger: tally.sent + countOf(tally.skipped), source: source.read - rejected },
    { figure: 'rejected', ledger: countOf(tally.rejected), source: rejected },
  ]
}

function refusedByPostHog({ rejected }: Tally): number {
  return givenByPostHog.reduce((sum, reason) => sum + (rejected[reason] ?? 0), 0)
}
