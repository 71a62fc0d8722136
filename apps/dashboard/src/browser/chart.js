/**
 * Draws how fast a run was, from the history that the ledger keeps, and goes on with the points that the open page is
 * told. uPlot is served beside it. Rates are between neighbouring points, so a thinned-out history shows means.
 */
'use strict'

/** @typedef {NonNullable<import('../live-page.ts').LivePage['point']>} Point */

const wholeSeconds = [1, 5, 10, 15, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 604800]
const chart = document.getElementById('chart')
if (chart) void draw(chart)

/** @param {HTMLElement} box */
async function draw(box) {
  // The server may be away; the page says so, and its chart comes when it is back.
  const answer = await fetch(box.dataset.history ?? '').catch(() => null)
  if (!answer?.ok) {
    setTimeout(draw, 5000, box)
    return
  }
  /** @type {Point[]} */
  const points = await answer.json()
  const axis = {
    stroke: () => colour('--soft'),
    grid: { stroke: () => colour('--line'), width: 1 },
    ticks: { stroke: () => colour('--line'), width: 1 },
  }
  const plot = new uPlot(
    {
      width: box.clientWidth,
      height: 180,
      series: [
        { label: 'Time' },
        series('rows read/s', '--going', []),
        series('events sent/s', '--good', [6, 4]),
        series('rows rejected/s', '--bad', [2, 3]),
      ],
      axes: [
        { ...axis, incrs: wholeSeconds },
        { ...axis, size: 64, values: (_, values) => values.map(grouped) },
      ],
      scales: { y: { range: () => [0, Math.max(10, 1.5 * mostlyBelow(ratesOf(points).slice(1).flat()))] } },
      cursor: { points: { show: false } },
    },
    ratesOf(points),
    box,
  )
  new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 180 })).observe(box)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.redraw())
  document.addEventListener('point', (event) => {
    if (!(event instanceof CustomEvent)) return
    /** @type {Point} */
    const point = event.detail
    const last = points.at(-1)
    if (last && point.atMs <= last.atMs) return
    points.push(point)
    plot.setData(ratesOf(points))
  })
}

/** @type {(label: string, stroke: string, dash: number[]) => uPlot.Series} */
function series(label, stroke, dash) {
  return {
    label,
    stroke: () => colour(stroke),
    width: 2,
    dash,
    value: (_, rate) => grouped(rate),
    points: { show: false },
  }
}

/** @param {string} name */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

/** @param {number | null} value */
function grouped(value) {
  return value == null ? '–' : Math.round(value).toLocaleString('en-US')
}

/** Skipped rows are read in a moment; the rest must not look flat beside them. @param {number[]} rates */
function mostlyBelow(rates) {
  const sorted = rates.filter((rate) => rate > 0).toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * 0.95)] ?? 0
}

/** @param {Point[]} points */
function ratesOf(points) {
  /** @type {[number[], number[], number[], number[]]} */
  const data = [[], [], [], []]
  for (const [index, point] of points.entries()) {
    const before = points[index - 1]
    if (!before) continue
    const seconds = (point.atMs - before.atMs) / 1000
    if (seconds <= 0) continue
    data[0].push(point.atMs / 1000)
    data[1].push((point.read - before.read) / seconds)
    data[2].push((point.sent - before.sent) / seconds)
    data[3].push((point.rejected - before.rejected) / seconds)
  }
  return data
}
