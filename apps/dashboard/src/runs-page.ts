import { destinationText, type Run } from '@heapferry/domain'
import { duration, grouped, type RunStatus, type TableStatus } from '@heapferry/migration'
import { type Html, html } from './html.ts'
import { moment } from './moment.ts'
import type { Content } from './page.ts'
import { isFinal, progressOf, stateBadge } from './progress.ts'

interface ListedRun {
  run: Run
  status: RunStatus
}

/** Runs that are not over, then a line for each of the others; in the order given. */
export function runsPage(runs: readonly ListedRun[]): Content {
  const active = runs.filter(({ status }) => !isFinal(status))
  const over = runs.filter(({ status }) => isFinal(status))
  const none = html`<p>There are no runs yet. Start one with <code>heapferry run SOURCE</code>, or try
    <code>heapferry demo</code>.</p>`
  return {
    title: 'Runs',
    live: true,
    main: html`<h1 id="title">Runs</h1><div id="runs">${runs.length === 0 ? none : html``}
${active.length === 0 ? html`` : html`<ul class="runs">${active.map(runItem)}</ul>`}
${over.length === 0 ? html`` : html`<h2>Over</h2><ul class="runs over">${over.map(lineOf)}</ul>`}</div>`,
  }
}

function lineOf({ run, status }: ListedRun): Html {
  return html`<li><h3><a href="/runs/${run.id}">${run.id}</a>${stateBadge(status)}</h3>
<p class="facts">${outcomeText(status.totals)}; to ${destinationText(run.destination)}, created ${moment(run.createdAtMs)}</p></li>`
}

function runItem({ run, status }: ListedRun): Html {
  const { rate, eta_s: etaSeconds } = status
  const pace = [rate !== null && `${grouped(rate)} rows/s`, etaSeconds !== null && `${duration(etaSeconds)} left`]
  return html`<li>
<h2><a href="/runs/${run.id}">${run.id}</a>${stateBadge(status)}</h2>
<p>${status.message}</p>
${progressOf(status)}
<p class="facts">${[outcomeText(status.totals), ...pace.filter((fact) => fact !== false)].join(', ')}</p>
<p class="facts">${run.source} to ${destinationText(run.destination)}, created ${moment(run.createdAtMs)}</p>
</li>`
}

function outcomeText({ sent, skipped, rejected }: TableStatus): string {
  return `${grouped(sent)} sent, ${grouped(skipped)} skipped, ${grouped(rejected)} rejected`
}
