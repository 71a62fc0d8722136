import { type Answers, answerSeconds, destinationText, type Phase, type TimelineEntry } from '@heapferry/domain'
import { counted, grouped, hasCompleted, percent, type RunStatus, timelineText } from '@heapferry/migration'
import { answersTable } from './answers-table.ts'
import { type Html, html, script } from './html.ts'
import { moment } from './moment.ts'
import type { Content } from './page.ts'
import { factsOf } from './facts.ts'
import { nextSteps, reportLinks } from './next-steps.ts'
import { rateNames } from './browser/rates.js'
import { isFinal, phasesOf, progressOf, stateBadge } from './progress.ts'
import { reasonsOf } from './reasons.ts'
import { retryUnderWay } from './retry-under-way.ts'
import type { RunView } from './run-view.ts'
import { memoryText } from './machines-page.ts'
import { type Line, tableOf } from './table.ts'
import { tablesOf } from './tables-of-run.ts'
import { verdictOf } from './verification-page.ts'

interface Around {
  /** Where Bull Board shows the queues of the run. */
  queues: readonly { phase: Phase; href: string }[]
  /** What the visitor may do. */
  actions: Html
  /** Also compare the run with what PostHog holds. */
  offersVerification: boolean
}

export function runPage(view: RunView, { queues, actions, offersVerification }: Around): Content {
  const { run, status } = view
  const { totals } = status
  // Else they stand with what is to be done next.
  const isOver = hasCompleted(status)
  return {
    title: `${percent(totals.read, totals.planned)} · ${run.id}`,
    live: !isFinal(status) || view.retry !== null || view.verifying !== null,
    head: html`<link rel="stylesheet" href="/uplot.css">
${script('/uplot.js')}
${script('/chart.js', 'module')}`,
    main: html`<header id="title"><h1>${run.id}</h1><span role="status">${stateBadge(status)}</span></header>
<p id="message"${isBad(status) ? html` class="banner"` : html``}>${status.message}</p>
<div id="actions">${actions}</div>
<section id="next" aria-label="What next">${nextSteps(view, offersVerification)}</section>
<section id="retry" aria-label="Retry">${retryUnderWay(view.retry)}</section>
<section id="progress" aria-label="Progress">${progressOf(status)}${factsOf(view)}</section>
<section id="rate" data-still="yes"><h2>Rate</h2>
<p class="choice"><button class="plain" data-view="whole" aria-pressed="true">Whole run</button> <button class="plain" data-view="hour" aria-pressed="false">Last hour</button> <span class="hint">Drag, or open a time in the table, to look closer.</span></p>
<div id="chart" data-history="/api/runs/${run.id}/history" role="img"
 aria-label="Rows read, events sent and rows rejected per second; the table below says the same"></div>
<p class="hint legend"><span><span class="mark waited"></span> waited for PostHog</span><span><span class="mark paused"></span> paused</span><span><span class="mark phase"></span> a phase ends</span></p>
<details id="chart-table"><summary>The chart as a table</summary>${tableOf(['from', ...rateNames, 'happened'], [])}</details></section>
<section id="phases"><h2>Phases</h2>${phasesOf(status)}</section>
<section id="tables"><h2>Tables</h2>${tablesOf(status)}
<p class="hint"><a href="/runs/${run.id}/files">File by file</a> · <a href="/runs/${run.id}/samples">Rows before and after</a>${isOver ? html`` : html` · ${reportLinks(run)}`}</p></section>
<section id="reasons">${reasonsOf(status)}</section>
<section id="verification">${verificationOf(view, offersVerification)}</section>
<section id="answers"><h2>PostHog’s answers</h2>${answersOf(view.answers)}</section>
<section id="workers"><h2>Workers</h2>${workersOf(view)}</section>
<section id="timeline"><h2>What happened</h2>${timelineOf(view.timeline)}</section>
<section id="about"><h2>About this run</h2>
<dl class="about">
<dt>Source</dt><dd>${run.source}</dd>
<dt>Destination</dt><dd>${destinationText(run.destination)}</dd>
<dt>Created</dt><dd>${moment(run.createdAtMs)}</dd>
<dt>Redis</dt><dd>${memoryText(view.redis)}</dd>
<dt>Queues</dt><dd>${queues.map(({ phase, href }) => html`<a href="${href}">${phase}</a> `)}</dd>
</dl>
<details id="details"><summary>For engineers</summary><ul>${status.details.map((line) => html`<li>${line}</li>`)}</ul></details></section>`,
  }
}

function isBad({ state, trouble }: RunStatus): boolean {
  return state === 'failed' || trouble.length > 0
}

/** Nothing before there is something to tell, or to ask for. */
function verificationOf({ run, status, timeline, verification: last, verifying }: RunView, offers: boolean): Html {
  if (last === null && verifying === null && !(offers && isFinal(status))) return html``
  const more = status.totals.sent - (last?.totals.sent ?? 0)
  const newest = timeline.findLast(({ kind }) => kind === 'verification_failed' || kind === 'verified')
  return html`<h2>Verification</h2>
${verdictOf(last, verifying, newest?.kind === 'verification_failed' ? newest : null)}
${last !== null && more > 0 ? html`<p>${counted(more, 'event was', 'events were')} sent since then.</p>` : html``}
<p class="actions">${last === null && verifying === null ? html`` : html`<a class="button" href="/runs/${run.id}/verification">By event and day</a> `}${offers && verifying === null ? html`<a id="verify" class="button" href="/runs/${run.id}/verify">${last === null ? 'Verify…' : 'Verify again…'}</a>` : html``}</p>`
}

function answersOf({ byStatus, byTime, totalMs }: Answers): Html {
  const requests = byTime.reduce((sum, count) => sum + count, 0)
  if (requests === 0) return html`<p>None yet.</p>`
  return html`${answersTable(byStatus)}
<p class="facts">Time to answer: mean ${grouped(Math.round(totalMs / requests))} ms, p90 ${slowestText(byTime, requests)}.</p>`
}

function slowestText(byTime: readonly number[], requests: number): string {
  let seen = 0
  const index = byTime.findIndex((count) => (seen += count) >= 0.9 * requests)
  const seconds = answerSeconds[index]
  return seconds === undefined ? `over ${answerSeconds.at(-1)} s` : `under ${grouped(1000 * seconds)} ms`
}

const shownWorkers = 20

function workersOf({ workers, status }: RunView): Html {
  if (workers.length === 0 && isFinal(status)) return html`<p>None: the run is over.</p>`
  if (workers.length === 0) {
    return html`<p>No worker has reported. Start some with <code>heapferry run</code> or <code>heapferry worker</code>.</p>`
  }
  const shown = workers.toSorted((a, b) => Number(b.fault !== null) - Number(a.fault !== null)).slice(0, shownWorkers)
  const others = workers.length - shown.length
  const lines = tableOf(
    ['worker', 'rows/s', 'in hand', 'memory', 'last report'],
    shown.map(({ pulse, fault }): Line => {
      const inHand = pulse.chunks.map(
        ({ table, firstRow, read, rows }) =>
          html`<li>${table} from row ${grouped(firstRow)}: ${grouped(read)} of ${grouped(rows)}</li>`,
      )
      return {
        name: html`${pulse.worker}${fault === null ? html`` : html`<p class="bad">${fault}</p>`}`,
        cells: [
          { text: grouped(pulse.rate) },
          { text: inHand.length === 0 ? '–' : html`<ul class="plain">${inHand}</ul>`, kind: 'words' },
          { text: `${grouped(Math.round(pulse.memoryBytes / 1_000_000))} MB` },
          { text: moment(pulse.atMs) },
        ],
      }
    }),
  )
  return html`${lines}${others > 0 ? html`<p class="hint">and ${counted(others, 'more worker')}</p>` : html``}`
}

const shownEntries = 50

/** Newest first. */
function timelineOf(timeline: readonly TimelineEntry[]): Html {
  const older = timeline.length - shownEntries
  const shown = timeline.slice(-shownEntries).toReversed()
  return html`<ol class="timeline">${shown.map((entry, index) => html`<li id="entry-${timeline.length - index}">${moment(entry.atMs)} <span>${timelineText(entry)}</span></li>`)}</ol>
${older > 0 ? html`<p class="hint">${grouped(older)} older entries are in <code>heapferry status --json</code>.</p>` : html``}`
}
