import {
  addTallies,
  countOf,
  emptyTally,
  type Intent,
  isComplete,
  isHelperOfHeap,
  type Phase,
  type PhaseProgress,
  phases as inOrder,
  type QueueState,
  type Run,
  type RunProgress,
  type Tally,
  type TableProgress,
  type TimelineEntry,
  type TransportName,
} from '@heapferry/domain'
import { transportText } from './reason-text.ts'
import type { Trouble } from './run-trouble.ts'
import { counted, duration, grouped, paceReasonText, percent, phaseTexts } from './wording.ts'

/** What a run is doing, for a person: one word and one sentence. */
export type RunState =
  | { kind: 'planning' }
  /** A warehouse is unloaded, and no row has been read yet. */
  | { kind: 'unloading' }
  | { kind: 'running' }
  | { kind: 'waiting_for_posthog'; detail: string }
  /** Workers are still finishing batches. */
  | { kind: 'pausing'; by: string; chunks: number }
  | { kind: 'paused'; by: string; reason: string; hint: string }
  /** Every row has been read, not every chunk is done. */
  | { kind: 'completing' }
  | { kind: 'cancelled'; by: string }
  | { kind: 'failed'; reason: string; hint: string }
  | { kind: 'completed' }
  | { kind: 'completed_with_rejected_rows' }

/** The answer of `status --json`, and the last line of `run --json`. */
export interface RunStatus {
  run: string
  state: RunState['kind']
  /** The state in a sentence, and what keeps the run from going on. */
  message: string
  trouble: Trouble[]
  /** What stands behind it, for an engineer. */
  details: string[]
  phase: Phase
  phases: PhaseStatus[]
  /** How events are sent; null while none has been. */
  transport: TransportName | null
  tables: TableStatus[]
  totals: TableStatus
  /** Rows a second over the last 15 s, or since the pace was changed; null where nothing was read of late. */
  rate: number | null
  /** Of a warehouse: how far it is unloaded; null while nothing of it is, or the source is none. */
  unloading: UnloadingStatus | null
  /** Seconds until all planned rows have been read, at that rate and at the pace; null while it cannot be told. */
  eta_s: number | null
  /** Events a second that all workers together may send; null: as many as they can. */
  pace: { limit: number | null; effective: number | null; reason: string | null }
}

/** Its chunks, and the rows of its tables; null where an older version planned the run. */
interface PhaseStatus extends PhaseProgress {
  rows_planned: number | null
  rows_read: number | null
}

interface UnloadingStatus {
  /** The table that is unloaded now. */
  table: string
  /** Rows in files, of all tables. */
  rows: number
  of: number
  /** Rows a second since the command was started; null before the first. */
  rate: number | null
  eta_s: number | null
  /** Why the warehouse is waited for. */
  waiting: string | null
}

export interface TableStatus {
  table: string
  /** Rows that the producer has counted. */
  planned: number
  read: number
  sent: number
  skipped: number
  rejected: number
  skipped_by_reason: Tally['skipped']
  rejected_by_reason: Tally['rejected']
  /** Of the sent rows: those that PostHog took with a remark. */
  warned: number
  warned_by_kind: Tally['warned']
}

const rateWindowMs = 15_000

/** Which phase may be worked on now. Derived from what is stored, so no crash can leave a barrier open or shut. */
export function phaseOpen(progress: RunProgress): Phase {
  const identities = progress.phases.find(({ phase }) => phase === 'identities')
  return identities && isComplete(identities) ? 'events' : 'identities'
}

/** Every planned row has ended. Chunks alone do not tell: one may have been done under the name of another. */
export function isRunComplete(progress: RunProgress): boolean {
  return isEveryChunkDone(progress) && unaccounted(progress) === null
}

/** Nothing is left to be worked on. */
export function isEveryChunkDone({ phases }: RunProgress): boolean {
  return phases.every(isComplete)
}

export function hasCompleted({ state }: Pick<RunStatus, 'state'>): boolean {
  return state === 'completed' || state === 'completed_with_rejected_rows'
}

/** When the last chunk was done; undefined while the run is not over, or was cancelled. */
export function completedAtMs(
  status: Pick<RunStatus, 'state'>,
  timeline: readonly TimelineEntry[],
): number | undefined {
  if (!hasCompleted(status)) return undefined
  return timeline.findLast(({ kind }) => kind === 'phase_completed')?.atMs
}

/** Tables whose rows do not add up, in a sentence; null where every planned row has ended, and no other. */
export function unaccounted({ tables }: RunProgress): string | null {
  const differences = tables.map(({ table, planned, tally: { sent, skipped, rejected } }) => {
    return { table, rows: planned - sent - countOf(skipped) - countOf(rejected) }
  })
  const missing = differences.filter(({ rows }) => rows > 0)
  const surplus = differences.filter(({ rows }) => rows < 0)
  const sentences = [
    ...(missing.length === 0 ? [] : [`${rowsOf(missing)} unaccounted for (${byTable(missing)})`]),
    ...(surplus.length === 0 ? [] : [`${rowsOf(surplus)} counted that nobody planned (${byTable(surplus)})`]),
  ]
  return sentences.length === 0 ? null : sentences.join(', and ')
}

function rowsOf(differences: readonly { rows: number }[]): string {
  const count = Math.abs(differences.reduce((sum, { rows }) => sum + rows, 0))
  return count === 1 ? '1 row is' : `${grouped(count)} rows are`
}

function byTable(differences: readonly { table: string; rows: number }[]): string {
  return differences.map(({ table, rows }) => `${table}: ${grouped(Math.abs(rows))}`).join(', ')
}

// A second of 429 now and then is how PostHog paces; the state must not flicker with it.
const worthTellingMs = 3000

export function runState(progress: RunProgress, queue: QueueState): RunState {
  const { intent, waiting } = progress
  if (intent.kind === 'cancel') return { kind: 'cancelled', by: intent.by }
  if (isRunComplete(progress)) {
    const { rejected } = totalOf(progress.tables).tally
    return { kind: countOf(rejected) > 0 ? 'completed_with_rejected_rows' : 'completed' }
  }
  if (isEveryChunkDone(progress)) {
    return {
      kind: 'failed',
      reason: `${unaccounted(progress)}, although every chunk is done`,
      hint: 'Start another run of the same export with --run NAME: it sends all again under the same uuids, so PostHog keeps one of each event.',
    }
  }
  if (intent.kind === 'pause') {
    return queue.active > 0
      ? { kind: 'pausing', by: intent.by, chunks: queue.active }
      : { kind: 'paused', by: intent.by, reason: intent.reason, hint: intent.hint }
  }
  // Failed chunks do not stop the others, so the run is not over while the queue has anything else to do.
  if (queue.failed > 0 && queue.waiting + queue.active === 0) {
    return {
      kind: 'failed',
      reason: `${counted(queue.failed, 'chunk')} failed; the first: ${queue.firstFailure ?? 'unknown'}`,
      hint: 'Repeat the run command to try again from the last checkpoint.',
    }
  }
  const long = waiting.find(({ sinceMs }) => progress.nowMs - sinceMs >= worthTellingMs)
  if (long) return { kind: 'waiting_for_posthog', detail: long.detail }
  if (progress.phases.some(({ sealed }) => !sealed) && totalOf(progress.tables).tally.read === 0)
    return { kind: progress.unloading === null ? 'planning' : 'unloading' }
  return isAllRead(progress) ? { kind: 'completing' } : { kind: 'running' }
}

function isAllRead({ phases, tables }: RunProgress): boolean {
  const { planned, tally } = totalOf(tables)
  return phases.every(({ sealed }) => sealed) && tally.read >= planned
}

// A few bad rows at the beginning of a table say nothing about the rest of it.
const judgedAfterRows = 10_000

/** Tables of which more rows are rejected than the run allows: a mapping or an export that is wrong as a whole. */
function tablesOverLimit({ tables }: RunProgress, maxRejectedPercent: number): TableProgress[] {
  return tables.filter(({ tally: { read, rejected } }) => {
    return rejectsMoreThan(maxRejectedPercent, { read, rejected: countOf(rejected) })
  })
}

/** Whether more of a table's rows are rejected than so many percent, as far as there are enough to judge it by. */
export function rejectsMoreThan(limit: number, { read, rejected }: Pick<TableStatus, 'read' | 'rejected'>): boolean {
  return read >= judgedAfterRows && rejected * 100 > read * limit
}

/** Why a run pauses itself for its rejected rows; null where it goes on. */
export function rejectedTooMany(run: Run, progress: RunProgress): Extract<Intent, { kind: 'pause' }> | null {
  const { intent } = progress
  if (intent.kind !== 'run') return null
  const [first] = tablesOverLimit(progress, run.maxRejectedPercent).filter(
    ({ table }) => !intent.acceptedTables.includes(table),
  )
  if (!first) return null
  const { table, tally } = first
  const rejected = countOf(tally.rejected)
  const share = ((100 * rejected) / tally.read).toFixed(1)
  return {
    kind: 'pause',
    by: 'heapferry',
    reason: `${grouped(rejected)} of ${grouped(tally.read)} rows of ${table} were rejected (${share}%), more than the ${run.maxRejectedPercent}% that the run allows`,
    hint: `heapferry rejected ${run.id} says why. To go on without them: heapferry resume ${run.id}`,
  }
}

/** What a person wants who lets a run go on: rejected rows that were too many so far pause it no more. */
export function wantedToGoOn(run: Run, progress: RunProgress, by: string): Extract<Intent, { kind: 'run' }> {
  const acceptedTables = tablesOverLimit(progress, run.maxRejectedPercent).map(({ table }) => table)
  return { kind: 'run', by, acceptedTables }
}

export function runStatus(
  run: string,
  progress: RunProgress,
  { state, queue, trouble }: { state: RunState; queue: QueueState; trouble: Trouble[] },
  nowMs: number,
): RunStatus {
  const total = totalOf(progress.tables)
  const sealed = progress.phases.every((phase) => phase.sealed)
  const isMoving = state.kind === 'running' || state.kind === 'waiting_for_posthog'
  const rate = isMoving ? rateOf(progress, nowMs) : null
  const expected = isMoving ? expectedRate(progress, total.tally, rate, nowMs) : null
  const { limit, effective, reason } = progress.pace
  const phase = phaseOpen(progress)
  // A run that has failed says why itself.
  const shown = state.kind === 'failed' ? [] : trouble
  return {
    run,
    state: state.kind,
    message: withTrouble(messageOf(state, phase, progress), shown),
    trouble: shown,
    details: detailsOf(progress, queue),
    phase,
    phases: progress.phases.map((one) => ({ ...one, ...rowsOfPhase(one.phase, progress.tables) })),
    transport: progress.transport,
    tables: progress.tables.map(statusOf),
    totals: statusOf(total),
    rate,
    unloading: unloadingOf(progress),
    eta_s: sealed && expected ? Math.ceil((total.planned - total.tally.read) / expected) : null,
    pace: { limit, effective, reason: reason && paceReasonText(reason) },
  }
}

function withTrouble(message: string, trouble: readonly Trouble[]): string {
  const sentences = trouble.map((one) => one.message).join(' ')
  if (sentences === '') return message
  return trouble.some(({ halts }) => halts) ? `Standing still. ${sentences}` : `${message} ${sentences}`
}

function messageOf(state: RunState, phase: Phase, progress: RunProgress): string {
  const { tables } = progress
  // Places at which files are damaged or cut off.
  const damages = totalOf(tables).tally.rejected.file_damaged ?? 0
  switch (state.kind) {
    case 'planning':
      return 'Planning: people are resolved, sessions are put in order, and files are cut into chunks.'
    case 'unloading':
      return unloadingText(progress)
    case 'running': {
      const running = `Running, phase ${inOrder.indexOf(phase) + 1} of ${inOrder.length}: ${phaseTexts[phase]}.`
      return progress.unloading === null ? running : `${running} ${unloadingText(progress)}`
    }
    case 'pausing':
      return `Pausing, as requested by ${state.by}: workers are finishing the current batches of ${counted(state.chunks, 'chunk')}.`
    case 'completing':
      return 'Completing: every row has been read, and the last chunks are being closed.'
    case 'waiting_for_posthog':
      return `Waiting for PostHog (${state.detail}). Nothing is lost; the run goes on by itself.`
    case 'paused':
      return `Paused by ${state.by}: ${state.reason}. ${state.hint}`
    case 'cancelled':
      return `Cancelled by ${state.by}.`
    case 'failed':
      return `Failed: ${state.reason}. ${state.hint}`
    case 'completed':
      return completedText(tables)
    case 'completed_with_rejected_rows':
      return damages === 0
        ? 'Completed, but some rows were rejected.'
        : `Completed, but files are damaged or cut off in ${counted(damages, 'place')}: nobody can tell how many rows are missing there.`
  }
}

function unloadingText(progress: RunProgress): string {
  const unloading = unloadingOf(progress)
  if (unloading === null) return ''
  const { table, rows, of, rate, eta_s, waiting } = unloading
  const pace = rate === null ? '' : `, ${grouped(rate)}/s`
  const left = eta_s === null ? '' : `, ${duration(eta_s)} left`
  const now = waiting === null ? (table === '' ? '' : `, now ${table}`) : `; waiting for the warehouse (${waiting})`
  return `Unloading the warehouse: ${percent(rows, of)}, ${grouped(rows)} of ${grouped(of)} rows${pace}${left}${now}.`
}

function unloadingOf({ unloading, nowMs }: RunProgress): UnloadingStatus | null {
  if (unloading === null) return null
  const { table, rows, of, sinceMs, sinceRows, waiting } = unloading
  const seconds = (nowMs - sinceMs) / 1000
  const rate = seconds > 0 && rows > sinceRows ? Math.round((rows - sinceRows) / seconds) : null
  return { table, rows, of, rate, eta_s: rate ? Math.ceil(Math.max(0, of - rows) / rate) : null, waiting }
}

const shownTables = 3

/** Nobody has said of a table without actions that it is to be left out, but Heap of its own helper tables. */
function completedText(tables: readonly TableProgress[]): string {
  const all = 'Completed: every row has been sent or left out on purpose'
  const unasked = tables.filter(({ table, tally }) => (tally.skipped.helper_table ?? 0) > 0 && !isHelperOfHeap(table))
  if (unasked.length === 0) return `${all}.`
  const rows = unasked.reduce((sum, { tally }) => sum + (tally.skipped.helper_table ?? 0), 0)
  const names = unasked.slice(0, shownTables).map(({ table }) => table)
  const more = unasked.length - names.length
  const where = `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  return `${all}, but for ${grouped(rows)} ${rows === 1 ? 'row' : 'rows'} of ${where}, in which no action of anybody was found. If there are none, say so with kind: skip in the mapping file of another run.`
}

const shownWaiting = 5

function detailsOf({ phases, transport, waiting }: RunProgress, queue: QueueState): string[] {
  return [
    ...(transport === null ? [] : [`sent with ${transport}: ${transportText[transport]}`]),
    ...phases.map(
      ({ phase, sealed, planned, done }) =>
        `${phase}: ${grouped(done)} of ${grouped(planned)} chunks done${sealed ? '' : ', more are being cut'}`,
    ),
    `queue: ${grouped(queue.waiting)} waiting, ${grouped(queue.active)} in progress, ${grouped(queue.failed)} failed`,
    ...(queue.firstFailure === null ? [] : [`first failure: ${queue.firstFailure}`]),
    ...waiting
      .slice(0, shownWaiting)
      .map(
        ({ sinceMs, retryAtMs, detail }) =>
          `waiting since ${new Date(sinceMs).toISOString()}, will ask again at ${new Date(retryAtMs).toISOString()}: ${detail}`,
      ),
  ]
}

function totalOf(tables: readonly TableProgress[]): TableProgress {
  return tables.reduce(
    (sum, { planned, tally }) => ({ ...sum, planned: sum.planned + planned, tally: addTallies(sum.tally, tally) }),
    { table: 'all', phase: null, planned: 0, tally: emptyTally },
  )
}

function rowsOfPhase(phase: Phase, tables: readonly TableProgress[]): Pick<PhaseStatus, 'rows_planned' | 'rows_read'> {
  if (tables.some((table) => table.phase === null)) return { rows_planned: null, rows_read: null }
  const { planned, tally } = totalOf(tables.filter((table) => table.phase === phase))
  return { rows_planned: planned, rows_read: tally.read }
}

function statusOf({ table, planned, tally }: Omit<TableProgress, 'phase'>): TableStatus {
  return {
    table,
    planned,
    read: tally.read,
    sent: tally.sent,
    skipped: countOf(tally.skipped),
    rejected: countOf(tally.rejected),
    skipped_by_reason: tally.skipped,
    rejected_by_reason: tally.rejected,
    warned: countOf(tally.warned),
    warned_by_kind: tally.warned,
  }
}

/**
 * Rows a second from now on. A pace that was lowered holds at once, and one that was changed is believed until there is
 * a rate to measure. The pace is in events: rows that are skipped are read beside them.
 */
function expectedRate({ pace }: RunProgress, { read, sent }: Tally, rate: number | null, nowMs: number): number | null {
  const { effective, changedAtMs } = pace
  if (effective === null || sent === 0) return rate
  const paced = (effective * read) / sent
  if (rate !== null) return Math.min(rate, paced)
  return nowMs - changedAtMs <= rateWindowMs ? paced : null
}

function rateOf({ samples, pace }: RunProgress, nowMs: number): number | null {
  const sinceMs = Math.max(nowMs - rateWindowMs, pace.changedAtMs)
  const recent = samples.filter(({ atMs }) => atMs >= sinceMs && atMs <= nowMs)
  const [first] = recent
  const last = recent.at(-1)
  if (!first || !last || last.atMs === first.atMs) return null
  return Math.round((last.rowsRead - first.rowsRead) / ((last.atMs - first.atMs) / 1000))
}
