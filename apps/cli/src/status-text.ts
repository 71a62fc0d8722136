import { visible, Warning } from '@heapferry/domain'
import {
  duration,
  grouped,
  paceText,
  percent,
  type RunStatus,
  type TableStatus,
  warnedTitle,
  warningText,
} from '@heapferry/migration'
import { wrapped } from './terminal.ts'
import { table } from './print.ts'

/** The run in a few lines, for a terminal of 80 columns. */
export function statusText(status: RunStatus): string {
  const rows = [...status.tables, status.totals].map((line) => [
    shortened(line.table, 32),
    ...[line.read, line.sent, line.skipped, line.rejected].map(grouped),
  ])
  return [
    `${status.run}: ${visible(status.message)}`,
    paceLine(status.pace),
    '',
    table(['table', 'read', 'sent', 'skipped', 'rejected'], rows),
    ...reasonLines('Skipped', status.totals.skipped_by_reason),
    ...reasonLines('Rejected', status.totals.rejected_by_reason),
    ...warningLines(status.totals),
  ].join('\n')
}

function paceLine({ limit, effective, reason }: RunStatus['pace']): string {
  const now = effective === limit ? '' : `, ${paceText(effective)} for now`
  return `Pace: ${paceText(limit)}${now}${reason === null ? '' : ` (${reason})`}`
}

/** One line that says how far a run is, with a bar where there is room for one. */
export function progressLine(status: RunStatus, width: number): string {
  const text = progressFacts(status)
  const room = Math.min(30, width - text.length - 4)
  if (room < 8) return text.slice(0, Math.max(0, width - 1))
  const { read, planned } = doneOf(status)
  const filled = planned === 0 ? 0 : Math.round((Math.min(read, planned) / planned) * room)
  return `${'█'.repeat(filled)}${'░'.repeat(room - filled)}  ${text}`
}

/** Rows read; while nothing else is done, those of a warehouse that are in files. */
function doneOf({ state, unloading, totals }: RunStatus): { read: number; planned: number } {
  return state === 'unloading' && unloading !== null ? { read: unloading.rows, planned: unloading.of } : totals
}

/** The same for a log. */
export function progressFacts(status: RunStatus): string {
  const { totals, state } = status
  // Its sentence has all of it.
  if (state === 'unloading') return ''
  const facts = [
    percent(totals.read, totals.planned),
    `${grouped(totals.read)} of ${grouped(totals.planned)} rows`,
    status.rate === null ? null : `${grouped(status.rate)}/s`,
    status.eta_s === null ? null : `${duration(status.eta_s)} left`,
    totals.rejected === 0 ? null : `${grouped(totals.rejected)} rejected`,
  ]
  return facts.filter((fact) => fact !== null).join(' · ')
}

/** As much of a text as fits on a line. */
export function shortened(text: string, length: number): string {
  const shown = visible(text)
  return shown.length <= length ? shown : `${shown.slice(0, length - 1)}…`
}

function reasonLines(
  title: string,
  reasons: TableStatus['skipped_by_reason'] | TableStatus['rejected_by_reason'],
): string[] {
  const lines = Object.entries(reasons).toSorted(([, a], [, b]) => b - a)
  if (lines.length === 0) return []
  return ['', `${title}:`, ...lines.map(([reason, count]) => `  ${grouped(count).padStart(10)}  ${reason}`)]
}

/** Their rows are sent all the same, so each says what the matter is. */
function warningLines({ warned, warned_by_kind: counts }: TableStatus): string[] {
  if (warned === 0) return []
  const lines = Warning.options.flatMap((warning) => {
    const count = counts[warning] ?? 0
    if (count === 0) return []
    return [`  ${grouped(count).padStart(10)}  ${warning}`, ...wrapped(warningText[warning], ' '.repeat(14))]
  })
  return ['', `${warnedTitle(counts)}:`, ...lines]
}
