import { destinationText, type Run } from '@heapferry/domain'
import { duration, grouped, type RunStatus, type TableStatus } from '@heapferry/migration'
import { type Html, html } from './html.ts'
import { moment } from './moment.ts'
import type { Content } from './page.ts'
import { progressOf, stateBadge } from './progress.ts'

/** Every run, in the order given. */
export function runsPage(runs: readonly { run: Run; status: RunStatus }[]): Content {
  const list = html`<ul class="runs">${runs.map(({ run, status }) => runItem(run, status))}</ul>`
  const none = html`<p>There are no runs yet. Start one with <code>heapferry run SOURCE</code>, or try
    <code>heapferry demo</code>.</p>`
  return {
    title: 'Runs',
    live: true,
    main: html`<h1 id="title">Runs</h1><div id="runs">${runs.length > 0 ? list : none}</div>`,
  }
}

function runItem(run: Run, status: RunStatus): Html {
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
