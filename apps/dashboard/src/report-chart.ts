import { grouped, type Report } from '@heapferry/migration'
import { rateNames, type Rates, ratesOf, stretchesOf } from './browser/rates.js'
import { chartMarks } from './chart-marks.ts'
import { type Html, html } from './html.ts'
import type { ChartMark } from './live-page.ts'
import { moment } from './moment.ts'
import { type Line, tableOf } from './table.ts'

const markTexts = [
  ['waited', 'waited for PostHog'],
  ['paused', 'paused'],
  ['phase', 'a phase ends'],
] as const satisfies [ChartMark['kind'], string][]
const size = { width: 1000, height: 200 }

/** The chart of the run's page, drawn where it stands, and its table: a page that is kept must not need a script. */
export function reportChart({ history, timeline, run, made_at: madeAt }: Report): Html {
  const points = history.map(({ at, ...counts }) => ({ atMs: Date.parse(at), ...counts }))
  const first = points[0]?.atMs
  const lastMs = points.at(-1)?.atMs
  if (first === undefined || lastMs === undefined || lastMs === first)
    return html`<p>The run was too short for a chart.</p>`
  const isOver = run.completed_at !== null || run.state === 'cancelled'
  const end = isOver ? lastMs : Math.max(lastMs, Date.parse(madeAt))
  const marks = chartMarks(timeline.map(({ entry }) => entry))
  const rates = ratesOf(points, end)
  const highest = Math.max(...rates.slice(1).map((values) => values.reduce((most, rate) => Math.max(most, rate), 0)), 1)
  const top = highest * 1.1
  const text = `${rateNames.join(', ')}, at most ${grouped(Math.round(highest))}; the table below says the same`
  const range = { min: first / 1000, max: end / 1000 }
  return html`<figure class="chart"><figcaption class="facts">at most ${grouped(Math.round(highest))}/s</figcaption>
<svg viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${text}" preserveAspectRatio="none">${marks.map((mark) => markOf(mark, range))}${rateNames.map((_, nth) => lineOf(rates, nth, { ...range, top }))}</svg>
<p class="facts axis">${[first, (first + end) / 2, end].map((atMs) => html`<span>${moment(atMs)}</span>`)}</p></figure>
<p class="hint legend">${rateNames.map((name, nth) => html`<span><span class="key line rate-${nth}"></span> ${name}</span>`)}${markTexts.map(([kind, words]) => html`<span><span class="key mark ${kind}"></span> ${words}</span>`)}</p>
${tableOf(
  ['from', ...rateNames, 'happened'],
  stretchesOf(rates, range, marks).map(
    ({ fromMs, means, happened }): Line => ({
      name: moment(fromMs),
      cells: [
        ...means.map((rate) => ({ text: rate === null ? '–' : grouped(Math.round(rate)) })),
        { text: happened, kind: 'words' as const },
      ],
    }),
  ),
)}`
}

interface Scale {
  min: number
  max: number
}

function xOf(seconds: number, { min, max }: Scale): number {
  return (size.width * (Math.min(Math.max(seconds, min), max) - min)) / Math.max(max - min, 1e-3)
}

function markOf({ kind, fromMs, toMs }: ChartMark, scale: Scale): Html {
  const from = xOf(fromMs / 1000, scale)
  const width = Math.max(xOf((toMs ?? Infinity) / 1000, scale) - from, 2)
  return html`<rect class="${kind}" x="${from.toFixed(1)}" y="0" width="${width.toFixed(1)}" height="${size.height}"/>`
}

function lineOf(rates: Rates, nth: number, { top, ...scale }: Scale & { top: number }): Html {
  const points = rates[0].map((seconds, index) => {
    const rate = rates[nth + 1]?.[index] ?? 0
    return `${xOf(seconds, scale).toFixed(1)},${(size.height * (1 - rate / top)).toFixed(1)}`
  })
  return html`<polyline class="rate-${nth}" points="${points.join(' ')}"/>`
}
