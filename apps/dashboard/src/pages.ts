import { destinationText, type Phase, phases, RejectReason, type Run, SkipReason } from '@heapferry/domain'
import {
  duration,
  grouped,
  percent,
  rejectText,
  type RunStatus,
  skipText,
  type TableStatus,
} from '@heapferry/migration'
import { type Html, html } from './html.ts'
import { moment } from './moment.ts'

/** A run as its page shows it. */
export interface ShownRun {
  run: Run
  status: RunStatus
  /** Where Bull Board shows its queues. */
  queues: readonly { phase: Phase; href: string }[]
}

/** Every run, in the order given. */
export function runsPage(runs: readonly ShownRun[]): string {
  const list = html`<ul class="runs">${runs.map(({ run, status }) => runItem(run, status))}</ul>`
  const none = html`<p>There is no run yet. Start one with <code>heapferry run SOURCE</code>, or look around with
    <code>heapferry demo</code>.</p>`
  return page(
    { title: 'Runs', live: true },
    html`<h1 id="title">Runs</h1><div id="runs">${runs.length > 0 ? list : none}</div>`,
  )
}

/** One run. */
export function runPage({ run, status, queues }: ShownRun): string {
  const { totals } = status
  const title = `${percent(totals.read, totals.planned)} · ${run.id}`
  return page(
    { title, live: !isOver(status) },
    html`<header id="title"><h1>${run.id}</h1>${stateBadge(status)}</header>
<p id="message" role="status">${status.message}</p>
<section id="progress" aria-label="Progress">${progressOf(status)}${factsOf(status)}</section>
<section id="tables"><h2>Tables</h2>${tablesOf(status)}</section>
<section id="reasons">${reasonsOf(status)}</section>
<section id="about"><h2>About this run</h2>
<dl class="about">
<dt>Source</dt><dd>${run.source}</dd>
<dt>Destination</dt><dd>${destinationText(run.destination)}</dd>
<dt>Created</dt><dd>${moment(run.createdAtMs)}</dd>
<dt>Queues</dt><dd>${queues.map(({ phase, href }) => html`<a href="${href}">${phase}</a> `)}</dd>
</dl></section>`,
  )
}

/** A page that says what is the matter and what to do about it. */
export function noticePage(title: string, text: string): string {
  return page(
    { title, live: false },
    html`<h1 id="title">${title}</h1><p id="message">${text}</p>
<p id="back"><a href="/">All runs</a></p>`,
  )
}

function page({ title, live }: { title: string; live: boolean }, main: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${title} · heapferry</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
<script src="/live.js" defer></script>
</head>
<body>
<nav aria-label="heapferry"><a class="home" href="/">heapferry</a><a href="/">Runs</a><a href="/queues/">Queues</a></nav>
<p id="connection" role="status" hidden></p>
<main data-live="${live ? 'yes' : 'no'}">${main}</main>
</body>
</html>
`.markup
}

function runItem(run: Run, status: RunStatus): Html {
  return html`<li>
<h2><a href="/runs/${run.id}">${run.id}</a>${stateBadge(status)}</h2>
<p>${status.message}</p>
${progressOf(status)}
<p class="facts">${outcomeText(status.totals)}</p>
<p class="facts">${run.source} to ${destinationText(run.destination)}, created ${moment(run.createdAtMs)}</p>
</li>`
}

function outcomeText({ sent, skipped, rejected }: TableStatus): string {
  return `${grouped(sent)} sent, ${grouped(skipped)} skipped, ${grouped(rejected)} rejected`
}

const stateWords: Readonly<Record<RunStatus['state'], string>> = {
  planning: 'planning',
  running: 'running',
  waiting_for_posthog: 'waiting',
  pausing: 'pausing',
  paused: 'paused',
  completing: 'completing',
  cancelled: 'cancelled',
  failed: 'failed',
  completed: 'completed',
  completed_with_rejected_rows: 'completed',
}

function stateBadge({ state }: RunStatus): Html {
  return html`<span class="state ${state}">${stateWords[state]}</span>`
}

function isOver({ state }: RunStatus): boolean {
  return state === 'completed' || state === 'completed_with_rejected_rows' || state === 'cancelled'
}

function progressOf({ state, totals: { read, planned } }: RunStatus): Html {
  const share = planned === 0 ? 0 : Math.min(read / planned, 1)
  return html`<div class="progress"><progress class="${state}" value="${share}" aria-label="Rows read"></progress>
<p><strong>${percent(read, planned)}</strong> <span>${grouped(read)} of ${grouped(planned)} rows</span></p></div>`
}

const phaseTexts: Readonly<Record<Phase, string>> = { identities: 'who people are', events: 'what they did' }

function factsOf(status: RunStatus): Html {
  const { phase, rate, eta_s: etaSeconds, totals } = status
  const number = `${phases.indexOf(phase) + 1} of ${phases.length}`
  const facts: [string, string][] = [
    ['Phase', isOver(status) ? 'over' : `${number}: ${phaseTexts[phase]}`],
    ['Rate', rate === null ? '–' : `${grouped(rate)} rows/s`],
    ['Time left', etaSeconds === null ? '–' : duration(etaSeconds)],
    ['Sent', grouped(totals.sent)],
    ['Skipped', grouped(totals.skipped)],
    ['Rejected', grouped(totals.rejected)],
  ]
  return html`<dl class="numbers">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

const counters = ['planned', 'read', 'sent', 'skipped', 'rejected'] as const

/** On narrow screens each row becomes a block; the roles keep it a table for those who hear it. */
function tablesOf({ tables, totals }: RunStatus): Html {
  if (tables.length === 0) return html`<p>No table has been planned yet.</p>`
  return html`<table role="table">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">table</th>${counters.map(
    (counter) => html`<th role="columnheader" scope="col">${counter}</th>`,
  )}</tr></thead>
<tbody role="rowgroup">${tables.map((table) => tableRow(table, table.table))}</tbody>
<tfoot role="rowgroup">${tableRow(totals, 'all tables')}</tfoot>
</table>`
}

function tableRow(status: TableStatus, name: string): Html {
  return html`<tr role="row"><th role="rowheader" scope="row">${name}</th>${counters.map(
    (counter) =>
      html`<td role="cell" data-name="${counter}"${emphasis(counter, status[counter])}>${grouped(status[counter])}</td>`,
  )}</tr>
`
}

function emphasis(counter: (typeof counters)[number], count: number): Html {
  if (count === 0) return html` class="zero"`
  return counter === 'rejected' ? html` class="bad"` : html``
}

interface Reason {
  reason: string
  text: string
  rows: number
  tables: readonly { table: string; rows: number }[]
}

function reasonsOf({ run, tables }: RunStatus): Html {
  const rejected = RejectReason.options.map((reason) =>
    reasonOf(reason, rejectText[reason], tables, (table) => table.rejected_by_reason[reason]),
  )
  const skipped = SkipReason.options.map((reason) =>
    reasonOf(reason, skipText[reason], tables, (table) => table.skipped_by_reason[reason]),
  )
  const howToList = html`<p class="hint"><code>heapferry rejected ${run}</code> lists them with file, row and byte.</p>`
  return html`${reasonList('Rejected rows', rejected, howToList)}${reasonList('Skipped rows', skipped, html``)}`
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

function reasonItem({ reason, text, rows, tables }: Reason): Html {
  const where = tables.map(({ table, rows: ofTable }) => `${table} ${grouped(ofTable)}`).join(', ')
  return html`<li><p><strong>${grouped(rows)}</strong> <code>${reason}</code></p><p>${text}</p><p class="facts">${where}</p></li>`
}
