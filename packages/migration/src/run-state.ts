import {
  addTallies,
  countOf,
  emptyTally,
  isComplete,
  type Phase,
  type RunProgress,
  type Tally,
  type TableProgress,
} from '@heapferry/domain'

/** What a run is doing, for a person: one word and one sentence. */
export type RunState =
  | { kind: 'planning' }
  | { kind: 'running' }
  | { kind: 'waiting_for_posthog'; detail: string }
  | { kind: 'paused'; by: string; reason: string; hint: string }
  | { kind: 'cancelled'; by: string }
  | { kind: 'failed'; reason: string }
  | { kind: 'completed' }
  | { kind: 'completed_with_rejected_rows' }

/** The answer of `status --json`, and the last line of `run --json`. */
export interface RunStatus {
  run: string
  state: RunState['kind']
  /** The state in a sentence. */
  message: string
  phase: Phase
  tables: TableStatus[]
  totals: TableStatus
  /** Rows a second over the last 15 s; null where nothing was read of late. */
  rate: number | null
  /** Seconds until all planned rows have been read at that rate; null while it cannot be told. */
  eta_s: number | null
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
}

const rateWindowMs = 15_000

/** Which phase may be worked on now. Derived from what is stored, so no crash can leave a barrier open or shut. */
export function phaseOpen(progress: RunProgress): Phase {
  const identities = progress.phases.find(({ phase }) => phase === 'identities')
  return identities && isComplete(identities) ? 'events' : 'identities'
}

export function isRunComplete(progress: RunProgress): boolean {
  return progress.phases.every(isComplete)
}

/** @param failed chunks that have spent all their attempts, and why the first did */
export function runState(progress: RunProgress, failed: { chunks: number; reason: string } | null): RunState {
  const { intent, waiting } = progress
  if (intent.kind === 'cancel') return { kind: 'cancelled', by: intent.by }
  if (isRunComplete(progress)) {
    const { rejected } = totalOf(progress.tables).tally
    return { kind: countOf(rejected) > 0 ? 'completed_with_rejected_rows' : 'completed' }
  }
  if (intent.kind === 'pause') return { ...intent, kind: 'paused' }
  if (failed)
    return {
      kind: 'failed',
      reason: `${failed.chunks} chunk${failed.chunks === 1 ? '' : 's'} failed; the first: ${failed.reason}`,
    }
  if (waiting[0]) return { kind: 'waiting_for_posthog', detail: waiting[0].detail }
  if (progress.phases.some(({ sealed }) => !sealed) && totalOf(progress.tables).tally.read === 0)
    return { kind: 'planning' }
  return { kind: 'running' }
}

export function runStatus(run: string, progress: RunProgress, state: RunState, nowMs: number): RunStatus {
  const total = totalOf(progress.tables)
  const rate = state.kind === 'running' || state.kind === 'waiting_for_posthog' ? rateOf(progress, nowMs) : null
  const sealed = progress.phases.every((phase) => phase.sealed)
  return {
    run,
    state: state.kind,
    message: messageOf(state),
    phase: phaseOpen(progress),
    tables: progress.tables.map(statusOf),
    totals: statusOf(total),
    rate,
    eta_s: sealed && rate ? Math.ceil((total.planned - total.tally.read) / rate) : null,
  }
}

export function messageOf(state: RunState): string {
  switch (state.kind) {
    case 'planning':
      return 'Planning: files are being cut into chunks.'
    case 'running':
      return 'Running.'
    case 'waiting_for_posthog':
      return `Waiting for PostHog (${state.detail}). Nothing is lost; the run goes on by itself.`
    case 'paused':
      return `Paused by ${state.by}: ${state.reason}. ${state.hint}`
    case 'cancelled':
      return `Cancelled by ${state.by}.`
    case 'failed':
      return `Failed: ${state.reason}. The same run command tries again from the last checkpoint.`
    case 'completed':
      return 'Completed: every row has been sent or left out on purpose.'
    case 'completed_with_rejected_rows':
      return 'Completed, but some rows were rejected.'
  }
}

function totalOf(tables: readonly TableProgress[]): TableProgress {
  return tables.reduce(
    (sum, { planned, tally }) => ({ ...sum, planned: sum.planned + planned, tally: addTallies(sum.tally, tally) }),
    { table: 'all', planned: 0, tally: emptyTally },
  )
}

function statusOf({ table, planned, tally }: TableProgress): TableStatus {
  return {
    table,
    planned,
    read: tally.read,
    sent: tally.sent,
    skipped: countOf(tally.skipped),
    rejected: countOf(tally.rejected),
    skipped_by_reason: tally.skipped,
    rejected_by_reason: tally.rejected,
  }
}

function rateOf({ samples }: RunProgress, nowMs: number): number | null {
  const recent = samples.filter(({ atMs }) => nowMs - atMs <= rateWindowMs)
  const [first] = recent
  const last = recent.at(-1)
  if (!first || !last || last.atMs === first.atMs) return null
  return Math.round((last.rowsRead - first.rowsRead) / ((last.atMs - first.atMs) / 1000))
}
