import type { Run } from '@heapferry/domain'
import { grouped, hasCompleted, rejectsMoreThan, type TableStatus } from '@heapferry/migration'
import { shareText } from './facts.ts'
import { type Html, html } from './html.ts'
import { moment } from './moment.ts'
import type { RunView } from './run-view.ts'

const historyAgeMs = 48 * 3_600_000

/** What is to be done about a run as it is now, most urgent first; nothing while it goes on well. */
export function nextSteps({ run, status, verification }: RunView, offersVerification: boolean): Html {
  const { state, totals } = status
  const isCompleted = hasCompleted(status)
  const isVerified = verification?.verdict === 'verified' && verification.totals.sent >= totals.sent
  const heldBack = totals.skipped_by_reason.held_back ?? 0
  const near = state === 'running' ? status.tables.filter((table) => isNearLimit(table, run.maxRejectedPercent)) : []
  const steps = [
    ...near.map(
      ({ table, rejected, read }) =>
        html`${table}: ${shareText(rejected, read)} of its rows are rejected; at more than ${run.maxRejectedPercent}% the run pauses. <a href="/runs/${run.id}/rejected">See why</a>`,
    ),
    ...(isCompleted && totals.rejected > 0
      ? [
          html`<a href="/runs/${run.id}/rejected">Look at the rejected rows</a>, mend them, and send them with <code>heapferry retry ${run.id}</code>`,
        ]
      : []),
    ...(isCompleted && heldBack > 0
      ? [
          html`${grouped(heldBack)} events of the last 48 hours were held back: send them with <code>heapferry retry ${run.id} --reason held_back</code>, from ${moment(run.createdAtMs + historyAgeMs)} on`,
        ]
      : []),
    ...(isCompleted && run.destination.kind === 'posthog' && !isVerified
      ? [
          verification !== null
            ? html`<a href="/runs/${run.id}/verification">See what verifying has found</a>: ${verification.verdict}`
            : offersVerification
              ? html`<a href="/runs/${run.id}/verify">Compare with what PostHog holds</a>`
              : html`Compare with what PostHog holds: <code>heapferry verify ${run.id}</code>`,
        ]
      : []),
    ...(isCompleted ? [html`Keep what it did. ${reportLinks(run)}`] : []),
  ]
  if (steps.length === 0) return html``
  return html`<h2>What next</h2><ul class="steps">${steps.map((step) => html`<li>${step}</li>`)}</ul>`
}

export function reportLinks({ id }: Run): Html {
  return html`Report: <a href="/runs/${id}/report.html" download>page</a>, <a href="/runs/${id}/report.json" download>JSON</a>`
}

/** More than half of what makes a run pause itself. */
function isNearLimit(table: TableStatus, maxPercent: number): boolean {
  return maxPercent < 100 && rejectsMoreThan(maxPercent / 2, table) && !rejectsMoreThan(maxPercent, table)
}
