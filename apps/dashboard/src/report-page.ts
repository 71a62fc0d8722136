import { type PostHogVerification, Warning } from '@heapferry/domain'
import {
  counted,
  duration,
  grouped,
  monthText,
  type Report,
  skipText,
  warnedTitle,
  warningText,
  whoText,
} from '@heapferry/migration'
import { answersTable } from './answers-table.ts'
import { browserFile } from './browser-file.ts'
import { type Html, html } from './html.ts'
import { moment } from './moment.ts'
import { groupFacts } from './reasons.ts'
import { reportChart } from './report-chart.ts'
import { style } from './style.ts'
import { type Line, tableOf } from './table.ts'

/** A report as one page that asks nobody for anything, to be kept, printed and sent on. */
export function reportPage(report: Report): string {
  const { run, settings, totals } = report
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Report of ${run.id} · heapferry</title>
<style>${{ markup: style + browserFile('report.css') }}</style>
</head>
<body>
<main>
<header id="title"><h1>Report of ${run.id}</h1><span class="state ${run.state}">${run.state.replaceAll('_', ' ')}</span></header>
<p>${run.message}</p>
<dl class="numbers">${numbers(report).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
<h2>The run</h2>
<dl class="about">
<dt>From</dt><dd>${run.source}</dd>
<dt>To</dt><dd>${run.destination}</dd>
<dt>Created</dt><dd>${moment(Date.parse(run.created_at))}${run.created_by === null ? '' : ` by ${run.created_by}`}</dd>
<dt>Completed</dt><dd>${run.completed_at === null ? 'not yet' : moment(Date.parse(run.completed_at))}</dd>
<dt>Last 48 hours</dt><dd>${settings.include_recent ? 'sent too' : 'held back'}</dd>
<dt>Mapping</dt><dd>fingerprint <code>${settings.mapping_fingerprint}</code></dd>
<dt>Report</dt><dd>made ${moment(Date.parse(report.made_at))} by heapferry ${report.version}</dd>
</dl>
${warehouseOf(report)}
<h2>Tables</h2>
${tableOf(
  ['table', ...counters],
  report.tables.map((table) => figuresLine(table, table.table)),
  figuresLine(totals, 'all tables'),
)}
<p class="facts">Rows read = sent + skipped + rejected.</p>
${reasonsOf(report)}
<h2>Verification</h2>
${verificationOf(report)}
<h2>Rate</h2>
${reportChart(report)}
<h2>PostHog’s answers</h2>
${answersOf(report)}
<h2>What happened</h2>
<ol class="timeline">${report.timeline.map(({ at, text }) => html`<li>${moment(Date.parse(at))} <span>${text}</span></li>`)}</ol>
<h2>Files</h2>
${tableOf(
  ['file, and its SHA-256 or version', 'table', 'format', 'bytes', 'rows', 'read'],
  report.inputs.map(
    (input): Line => ({
      name: html`${input.path}<p class="facts"><code>${input.sha256 ?? input.version}</code></p>`,
      cells: [
        { text: input.table, kind: 'words' },
        {
          text: input.compression === 'none' ? input.format : `${input.format}, ${input.compression}`,
          kind: 'words',
        },
        { text: grouped(input.size_bytes) },
        { text: input.rows === null ? '–' : grouped(input.rows) },
        { text: grouped(input.read) },
      ],
    }),
  ),
)}
<h2>The mapping in force</h2>
<pre>${JSON.stringify(settings.mapping, null, 2)}</pre>
<h2>How to undo</h2>
<ul>${report.undo.steps.map((step) => html`<li>${step}</li>`)}</ul>
${[report.undo.events_query, report.undo.persons_query].filter((query) => query !== '').map((query) => html`<pre>${query}</pre>`)}
</main>
</body>
</html>
`.markup
}

function warehouseOf({ warehouse }: Report): Html {
  if (warehouse === null) return html``
  const { address, stage, tables, rows, bytes, notices, deletion } = warehouse
  const told = [...tables.flatMap(({ notice }) => notice ?? []), ...notices]
  return html`<h2>The warehouse</h2>
<dl class="about">
<dt>Unloaded</dt><dd>${address}</dd>
<dt>Into</dt><dd>${stage}, ${grouped(rows)} rows in ${grouped(bytes)} bytes</dd>
<dt>To be deleted</dt><dd>${deletion}</dd>
</dl>
${tableOf(
  ['table', 'read by', 'first snapshot', 'last', 'files', 'rows', 'bytes'],
  tables.map(
    (one): Line => ({
      name: one.table,
      cells: [
        { text: one.statement },
        { text: moment(Date.parse(one.first_snapshot_at)) },
        { text: moment(Date.parse(one.last_snapshot_at)) },
        { text: grouped(one.files) },
        { text: grouped(one.rows) },
        { text: grouped(one.bytes) },
      ],
    }),
  ),
)}
${told.length === 0 ? html`` : html`<ul>${told.map((notice) => html`<li>${notice}</li>`)}</ul>`}`
}

const counters = ['planned', 'read', 'sent', 'skipped', 'rejected'] as const

function numbers({ run, totals }: Report): [string, string][] {
  const ms = run.completed_at === null ? null : Date.parse(run.completed_at) - Date.parse(run.created_at)
  const seconds = ms === null ? null : Math.max(1, ms / 1000)
  return [
    ...(seconds === null
      ? []
      : ([
          ['Took', duration(seconds)],
          ['Mean rate', `${grouped(Math.round(totals.read / seconds))} rows/s`],
        ] satisfies [string, string][])),
    ['Rows read', grouped(totals.read)],
    ['Sent', grouped(totals.sent)],
    ['Skipped', grouped(totals.skipped)],
    ['Rejected', grouped(totals.rejected)],
  ]
}

function figuresLine(figures: Report['totals'], name: string): Line {
  return { name, cells: counters.map((counter) => ({ text: grouped(figures[counter]) })) }
}

function reasonsOf({ rejected, totals }: Report): Html {
  const groups = rejected.map((group) => html`<li>${groupFacts(group)}</li>`)
  const skipped = Object.entries(totals.skipped_by_reason).toSorted(([, a], [, b]) => b - a)
  const lines = skipped.map(
    ([reason, rows]) =>
      html`<li><p><strong>${grouped(rows)}</strong> <code>${reason}</code></p><p>${Object.entries(skipText).find(([known]) => known === reason)?.[1] ?? ''}</p></li>`,
  )
  const warned = Warning.options
    .map((kind) => ({ kind, rows: totals.warned_by_kind[kind] ?? 0 }))
    .filter(({ rows }) => rows > 0)
    .map(
      ({ kind, rows }) =>
        html`<li><p><strong>${grouped(rows)}</strong> <code>${kind}</code></p><p>${warningText[kind]}</p></li>`,
    )
  return html`${groups.length === 0 ? html`` : html`<h2>Rejected rows</h2><ul class="reasons">${groups}</ul>`}
${lines.length === 0 ? html`` : html`<h2>Skipped rows</h2><ul class="reasons">${lines}</ul>`}
${warned.length === 0 ? html`` : html`<h2>${warnedTitle(totals.warned_by_kind)}</h2><ul class="reasons">${warned}</ul>`}`
}

function verificationOf({ run, verifications: { posthog, source } }: Report): Html {
  if (!posthog && !source) return html`<p>The run has not been verified: <code>heapferry verify ${run.id}</code></p>`
  return html`${posthog ? html`${verdictOf('PostHog', posthog)}${foundEvents(posthog)}${foundPeople(posthog)}` : ''}
${source ? verdictOf('The export', source) : ''}`
}

type ShownVerification = Pick<PostHogVerification, 'verdict' | 'message' | 'verified_at' | 'by' | 'notes'>

function verdictOf(against: string, { verdict, message, verified_at, by, notes }: ShownVerification): Html {
  return html`<p><strong>${against}: ${verdict}.</strong> ${message}</p>
<p class="facts">Compared ${moment(Date.parse(verified_at))} by ${by}.</p>
${notes.length === 0 ? '' : html`<ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`}`
}

function foundEvents({ events, more_events }: PostHogVerification): Html {
  const lines = events.map(
    ({ event, sent, expected, found, differing_days }): Line => ({
      name: event,
      cells: [sent, expected, found, differing_days].map((count) => ({ text: grouped(count) })),
    }),
  )
  return html`${tableOf(['event', 'sent', 'distinct', 'found', 'days that differ'], lines)}
${more_events === 0 ? '' : html`<p class="facts">and ${grouped(more_events)} more events</p>`}`
}

function foundPeople({ unique_people: counts }: PostHogVerification): Html {
  if (counts === null) return html``
  const { compared, differing, more_differing, sample } = counts
  const agreeing = compared - differing.length - more_differing
  const lines = differing.map(
    (one): Line => ({
      name: `${one.event}, ${monthText(one)}`,
      cells: [
        { text: grouped(one.expected) },
        { text: grouped(one.found) },
        { text: one.people.map(whoText).join('; '), kind: 'words' },
      ],
    }),
  )
  const ofSample = sample
    ? ` Of ${counted(sample.people, 'sampled person', 'sampled people')}, ${grouped(sample.people - sample.differing.length)} have their events there.`
    : ''
  return html`<p>People by event and month: ${grouped(agreeing)} of ${counted(compared, 'count')} the same.${ofSample}</p>
${lines.length === 0 ? '' : tableOf(['people', 'Heap', 'PostHog', 'who'], lines)}
${more_differing === 0 ? '' : html`<p class="facts">and ${grouped(more_differing)} more counts that differ</p>`}`
}

function answersOf({ answers: { by_status: byStatus, mean_ms: meanMs } }: Report): Html {
  if (Object.keys(byStatus).length === 0) return html`<p>No request was answered.</p>`
  return html`${answersTable(byStatus)}
${meanMs === null ? html`` : html`<p class="facts">Time to answer: mean ${grouped(meanMs)} ms.</p>`}`
}
