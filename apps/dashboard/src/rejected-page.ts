import {
  type Conversion,
  type ReadRow,
  RejectReason,
  type RetryUnderWay,
  type Run,
  type TimelineEntry,
} from '@heapferry/domain'
import { counted, grouped, type RejectedGroup, rejectText, timelineText } from '@heapferry/migration'
import type { Visitor } from './access.ts'
import { type Html, html } from './html.ts'
import { moment } from './moment.ts'
import type { Content } from './page.ts'
import { questionPage } from './question.ts'
import { firstOf } from './reasons.ts'
import { retryUnderWay } from './retry-under-way.ts'
import { pairOf } from './samples-page.ts'

/** What an address says of the rows that are meant. */
export interface Meant {
  table?: string | undefined
  reason?: RejectReason | undefined
}

export interface Retries {
  underWay: RetryUnderWay | null
  /** What is told of the last one since it began. */
  outcome: readonly TimelineEntry[]
  /** There may be more to tell. */
  hasJustEnded: boolean
}

/** What is told of retries in a timeline. @param nowMs by the clock of the timeline */
export function retriesOf(timeline: readonly TimelineEntry[], underWay: RetryUnderWay | null, nowMs: number): Retries {
  const begun = timeline.findLastIndex(({ kind }) => kind === 'retry_wanted')
  const outcome =
    begun === -1
      ? []
      : timeline.slice(begun).filter(({ kind }) => ['retried', 'retry_failed', 'retry_ended'].includes(kind))
  return { underWay, outcome, hasJustEnded: nowMs - (outcome.at(-1)?.atMs ?? 0) < toldForMs }
}

// A process that failed is told of when it has ended, a moment after it gave the right to retry back.
const toldForMs = 10_000

/**
 * Rejected rows by reason, and of each by table and shape, the largest first; to operators also the way to the rows
 * themselves.
 */
export function rejectedPage(
  run: Run,
  groups: readonly RejectedGroup[],
  { visitor, retries, offersRetry }: { visitor: Visitor; retries: Retries; offersRetry: boolean },
): Content {
  const { underWay } = retries
  // One at a time.
  const retriable = offersRetry && underWay === null
  const rows = groups.reduce((sum, group) => sum + group.rows, 0)
  const mayRead = visitor.role === 'operator'
  const tables = [...new Set(groups.map(({ table }) => table))].toSorted()
  return {
    title: `Rejected rows · ${run.id}`,
    live: underWay !== null || retries.hasJustEnded,
    main: html`<h1 id="title">Rejected rows of <a href="/runs/${run.id}">${run.id}</a></h1>
<p id="message">${rows === 0 ? 'There are none.' : `${counted(rows, 'row was', 'rows were')} not sent. ${rows === 1 ? 'It is' : 'They are'} still in the export.`}</p>
<section id="retry" aria-label="Retry">${retryUnderWay(underWay)}
${underWay === null && retries.outcome.length > 0 ? html`<h2>The last retry</h2><ol class="timeline">${retries.outcome.map((entry) => html`<li>${moment(entry.atMs)} <span>${timelineText(entry)}</span></li>`)}</ol>` : html``}</section>
${byReason(groups).map(({ reason, rows: ofReason, groups: some }) => {
  return html`<section id="reason-${reason}"><h2>${grouped(ofReason)} <code>${reason}</code></h2>
<p>${rejectText[reason]}</p>
<ul class="reasons">${some.map((group) => groupItem(run, group, { mayRead, retriable }))}</ul></section>`
})}
${
  mayRead && rows > 0
    ? html`<section id="downloads"><h2>The rows themselves</h2>
<p>As CSV, with reason and place in the first columns: fix the rows there and send them with <code>heapferry retry ${run.id} --from FILE</code>. The files contain personal data.</p>
<p class="actions">${tables.map((table) => html`<a class="button" href="/runs/${run.id}/rejected.csv?${query({ table })}" download>${table}</a> `)}</p></section>`
    : html``
}`,
  }
}

/** The reason of most rows first. */
function byReason(groups: readonly RejectedGroup[]) {
  return RejectReason.options
    .map((reason) => {
      const some = groups.filter((group) => group.reason === reason)
      return { reason, groups: some, rows: some.reduce((sum, group) => sum + group.rows, 0) }
    })
    .filter(({ rows }) => rows > 0)
    .toSorted((a, b) => b.rows - a.rows)
}

function groupItem(
  run: Run,
  group: RejectedGroup,
  { mayRead, retriable }: { mayRead: boolean; retriable: boolean },
): Html {
  const { table, reason, rows, first } = group
  const heard = html`<span class="heard"> ${reason} of ${table}</span>`
  const command = `heapferry retry ${run.id} --reason ${reason} --table ${table}`
  return html`<li><p><strong>${grouped(rows)}</strong> of ${table}</p>
${firstOf(group)}
${
  mayRead
    ? html`<p class="actions"><a class="button" href="/runs/${run.id}/rejected/row?${query({ file: first.file, row: String(first.row), byte: String(first.byte) })}">Show that row${heard}</a>
${retriable ? html`<a id="${retryId({ table, reason })}" class="button" href="/runs/${run.id}/retry?${query({ table, reason })}">Retry…${heard}</a>` : html`<span class="hint">After a fix: <code>${command}</code></span>`}</p>`
    : html``
}</li>`
}

function retryId({ table, reason }: Meant): string {
  return `retry-${reason ?? ''}-${table ?? ''}`
}

/** Asks before rows are sent again. */
export function retryQuestion(run: Run, { table, reason }: Meant): Content {
  const which = [reason !== undefined && `rejected as ${reason}`, table !== undefined && `of ${table}`]
  return questionPage({
    title: `Retry rejected rows of ${run.id}?`,
    address: `/runs/${run.id}/retry?${query({ table, reason })}`,
    body: html`<p>Rows ${which.filter((part) => part !== false).join(' ')} are read from the export again and sent according to the mapping of the run. Those that still cannot be sent stay rejected. To send them with another mapping, or after fixing rows, use <code>heapferry retry</code>.</p>`,
    button: 'Retry',
    leave: {
      address: `/runs/${run.id}/rejected#${encodeURIComponent(retryId({ table, reason }))}`,
      text: 'Leave them as they are',
    },
  })
}

/** A row as it stands in the export, and what becomes of it by the mapping of the run. */
export function rowPage(
  run: Run,
  file: string,
  { row, conversion, text }: { row: ReadRow; conversion: Conversion; text: string | null },
): Content {
  const title = `Row ${grouped(row.place.row)} of ${file}`
  return {
    title,
    live: false,
    main: html`<h1 id="title">${title}</h1>
<p id="back"><a href="/runs/${run.id}/rejected">Rejected rows of ${run.id}</a></p>
<section id="row">${pairOf({ row, conversion })}
${row.kind === 'row' || text === null ? html`` : html`<h2>The text at that place</h2><pre>${text.slice(0, shownChars)}</pre>`}</section>`,
  }
}

const shownChars = 20_000

function query(values: Record<string, string | undefined>): string {
  const given = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) if (value !== undefined) given.set(name, value)
  return given.toString()
}
