import {
  type ExportFile,
  type FileLedger,
  hashes,
  type Identities,
  type Mapping,
  OperatorError,
  type Phase,
  type RejectedLedger,
  type Run,
  type RunLedger,
  type SessionIndex,
  type Source,
} from '@heapferry/domain'
import { convertersOf } from '../converters.ts'
import { assertSameFiles } from '../plan-run.ts'
import {
  asExported,
  checkCorrected,
  type CorrectedFile,
  correctedRows,
  type CorrectedSummary,
} from './corrected-rows.ts'
import { findSessionsIn } from '../sessions/find-sessions.ts'
import { leadingColumns } from './export-rejected.ts'
import { lateIdentities } from './late-identities.ts'
import { filesOf, type RereadRow, rereadRows } from './reread-rows.ts'
import { type HeldBackWork, retryHeldBack } from './retry-held-back.ts'
import { type RetryCounts, retryRejected, type RetryWork } from './retry-rejected.ts'
import { placesOf, type RowFilter, RowPlaces } from './row-places.ts'

/** Which rows are to be sent again, and where they come from. */
export type RetryWish =
  | { kind: 'from_export'; filter: RowFilter; mapping: Mapping | null }
  | { kind: 'from_files'; files: readonly string[]; mapping: Mapping | null }
  | { kind: 'held_back'; table: string | undefined }

export interface RetryRowsWork extends Pick<HeldBackWork, 'hold' | 'sink' | 'limits' | 'nowMs' | 'onBatch'> {
  ledger: HeldBackWork['ledger'] &
    RetryWork['ledger'] &
    Pick<RejectedLedger, 'rejectedRows' | 'retriedRows'> &
    Pick<FileLedger, 'files'> &
    Pick<RunLedger, 'progress'>
  source: Pick<Source, 'cut' | 'read' | 'rowsAt' | 'rowOfText'>
  /** Also sends what may have been sent otherwise. */
  anyway: boolean
  identities(): Promise<Identities>
  /** The index that the run was begun with. */
  sessions(): Promise<SessionIndex | null>
  /** Null where the mapping hashes nothing. */
  hashSaltFor(mapping: Mapping): string | null
  /** What files with these paths are now, as the mapping has them read. Those that are gone are left out. */
  inspect(paths: readonly string[], mapping: Mapping): Promise<readonly ExportFile[]>
  /** @throws OperatorError when it is no file of rows with the leading columns */
  openCorrected(path: string, leading: readonly string[]): Promise<CorrectedFile>
  /** Told how many rows will be taken up. */
  onBegin?(rows: number): void
}

export interface RetriedRows {
  kind: 'finished' | 'interrupted'
  counts: RetryCounts
  /** Null where no files were given. */
  corrected: CorrectedSummary | null
}

/** Does what is wished. @throws OperatorError when a person is needed; nothing is lost then */
export async function retryRows(
  run: Run,
  wish: RetryWish,
  work: RetryRowsWork,
  signal: AbortSignal,
): Promise<RetriedRows> {
  const files = await work.ledger.files(run.id)
  switch (wish.kind) {
    case 'held_back': {
      const meant = files.filter(({ table }) => wish.table === undefined || table.name === wish.table)
      work.onBegin?.(await heldBackRows(run, meant, work))
      const hashSalt = work.hashSaltFor(run.mapping)
      const identities = await work.identities()
      const findSessions = findSessionsIn(await work.sessions(), run, identities)
      const convertersAt = (createdAtMs: number) => convertersOf({ ...run, createdAtMs }, identities, hashSalt)
      return { ...(await retryHeldBack(run, meant, { ...work, convertersAt, findSessions }, signal)), corrected: null }
    }
    case 'from_export': {
      const places = await placesOf(work.ledger.rejectedRows(run.id), wish.filter)
      const planned = filesOf(places, files)
      const read = wish.mapping === null ? planned : await readAsMapped(planned, wish.mapping, work)
      work.onBegin?.(read.reduce((sum, { id }) => sum + places.countOf(id), 0))
      const rowsOf = rereadRows(places, read, work.source)
      return { ...(await send(run, { rowsOf, mapping: wish.mapping }, work, signal)), corrected: null }
    }
    case 'from_files': {
      const rejected = await placesOf(work.ledger.rejectedRows(run.id), {})
      const retried = new RowPlaces()
      for await (const { chunk, row } of work.ledger.retriedRows(run.id)) retried.add({ chunk, row, byte: 0 })
      const known = { files, rejected, retried, source: work.source }
      const given = await Promise.all(
        wish.files.map(async (path) => asExported(await work.openCorrected(path, leadingColumns))),
      )
      const corrected = { rows: 0, retriedBefore: 0, unmended: 0 }
      for (const file of given) {
        const { rows, retriedBefore, unmended } = await checkCorrected(file, known)
        corrected.rows += rows
        corrected.retriedBefore += retriedBefore
        corrected.unmended += unmended
      }
      work.onBegin?.(corrected.rows)
      const rowsOf = correctedRows(given, known)
      return { ...(await send(run, { rowsOf, mapping: wish.mapping }, work, signal)), corrected }
    }
  }
}

/** People were resolved by the run's mapping, before anything was sent. @throws OperatorError where another is wished */
export function assertSamePeople(run: Run, wish: RetryWish): void {
  if (wish.kind === 'held_back' || wish.mapping === null) return
  const { mapping } = wish
  const changed = (['identity', 'anonymous'] as const).filter((key) => mapping[key] !== run.mapping[key])
  const [first] = changed
  if (first === undefined) return
  throw new OperatorError(
    `The run ${run.id} has ${changed.map((key) => `${key}: ${run.mapping[key]}`).join(' and ')}, the mapping of this retry has not`,
    `Who is whom was decided by the run: say ${first}: ${run.mapping[first]} in the mapping, or start another run with --run NAME.`,
  )
}

async function heldBackRows(run: Run, meant: readonly ExportFile[], { ledger }: RetryRowsWork): Promise<number> {
  const { tables } = await ledger.progress(run.id)
  const names = new Set(meant.map(({ table }) => table.name))
  const heldBack = tables.filter(({ table }) => names.has(table)).map(({ tally }) => tally.skipped.held_back ?? 0)
  return heldBack.reduce((sum, rows) => sum + rows, 0)
}

/** The files as the mapping has them read: with its columns, delimiter and kinds of tables. */
async function readAsMapped(
  files: readonly ExportFile[],
  mapping: Mapping,
  { inspect }: RetryRowsWork,
): Promise<ExportFile[]> {
  const inspected = await inspect([...new Set(files.map(({ path }) => path))], mapping)
  return files.map((file) => {
    const now = inspected.find(({ id }) => id === file.id)
    assertSameFiles([file], now ? [now] : [])
    if (now?.table.name === file.table.name) return now
    throw new OperatorError(
      `As the mapping has it, ${file.path} is not of the table ${file.table.name} any more`,
      'Rows keep their table in a retry; start another run with --run NAME and this mapping instead.',
    )
  })
}

async function send(
  run: Run,
  { rowsOf, mapping }: { rowsOf: (phase: Phase) => AsyncIterable<RereadRow>; mapping: Mapping | null },
  work: RetryRowsWork,
  signal: AbortSignal,
) {
  const wanted = mapping ?? run.mapping
  const converted = { ...run, mapping: wanted, saltFingerprint: hashes(wanted) ? run.saltFingerprint : null }
  const hashSalt = work.hashSaltFor(wanted)
  const convertersFor = async (phase: Phase) => {
    const identities = await work.identities()
    switch (phase) {
      case 'identities':
        return convertersOf(converted, lateIdentities(identities), hashSalt)
      case 'events':
        // Rows that were too young are not any more. (Of people the time of sending would change what is sent.)
        return convertersOf({ ...converted, createdAtMs: work.nowMs }, identities, hashSalt)
    }
  }
  const findSessions = findSessionsIn(await work.sessions(), run, await work.identities())
  return retryRejected(rowsOf, { ...work, convertersFor, findSessions }, signal)
}
