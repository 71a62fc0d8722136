import { RejectReason, SkipReason, Warning } from '@heapferry/domain'
import {
  counted,
  grouped,
  type RejectedGroup,
  rejectText,
  type RunStatus,
  skipText,
  type TableStatus,
  warnedTitle,
  warningText,
} from '@heapferry/migration'
import { type Html, html } from './html.ts'

/** A group of rejected rows, with the first of it. */
export function groupFacts(group: Omit<RejectedGroup, 'shape'>): Html {
  const { table, reason, rows } = group
  return html`<p><strong>${grouped(rows)}</strong> of ${table}: <code>${reason}</code></p>
<p>${rejectText[reason]}</p>
${firstOf(group)}`
}

export function firstOf({ first, example }: Pick<RejectedGroup, 'first' | 'example'>): Html {
  return html`<p class="facts">First: ${first.file}, row ${grouped(first.row)} (byte ${grouped(first.byte)}): ${example}</p>`
}

interface Reason {
  reason: string
  text: string
  rows: number
  tables: readonly { table: string; rows: number }[]
}

/** Why rows were not sent, most first, and what there is to say of those that were. */
export function reasonsOf({ run, tables, totals }: RunStatus): Html {
  const rejected = RejectReason.options.map((reason) =>
    reasonOf(reason, rejectText[reason], tables, (table) => table.rejected_by_reason[reason]),
  )
  const skipped = SkipReason.options.map((reason) =>
    reasonOf(reason, skipText[reason], tables, (table) => table.skipped_by_reason[reason]),
  )
  const warned = Warning.options.map((warning) =>
    reasonOf(warning, warningText[warning], tables, (table) => table.warned_by_kind[warning]),
  )
  const howToList = html`<p class="hint"><a href="/runs/${run}/rejected">Grouped by fault, with the first of each</a>; <code>heapferry rejected ${run}</code> lists them with file, row and byte.</p>`
  return html`${reasonList('Rejected rows', rejected, howToList)}${reasonList('Skipped rows', skipped, html``)}${reasonList(warnedTitle(totals.warned_by_kind), warned, html``)}`
}

function reasonOf(
  reason: string,
  text: string,
  tables: readonly TableStatus[],
  countIn: (table: TableStatus) => number | undefined,
): Reason {
  const found = tables
    .map((table) => ({ table: table.table, rows: countIn(table) ?? 0 }))
    .filter(({ rows }) => rows > 0)
  return { reason, text, rows: found.reduce((sum, { rows }) => sum + rows, 0), tables: found }
}

function reasonList(title: string, reasons: readonly Reason[], hint: Html): Html {
  const found = reasons.filter(({ rows }) => rows > 0).toSorted((a, b) => b.rows - a.rows)
  if (found.length === 0) return html``
  return html`<h2>${title}</h2>${hint}<ul class="reasons">${found.map(reasonItem)}</ul>`
}

const shownTables = 8

function reasonItem({ reason, text, rows, tables }: Reason): Html {
  const most = tables.toSorted((a, b) => b.rows - a.rows).slice(0, shownTables)
  const more = tables.length - most.length
  const where = [
    ...most.map(({ table, rows: ofTable }) => `${table} ${grouped(ofTable)}`),
    ...(more > 0 ? [counted(more, 'more table')] : []),
  ].join(', ')
  return html`<li><p><strong>${grouped(rows)}</strong> <code>${reason}</code></p><p>${text}</p><p class="facts">${where}</p></li>`
}
