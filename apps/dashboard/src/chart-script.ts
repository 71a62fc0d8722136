/**
 * Draws how fast a run was, from the history that the ledger keeps, and goes on with the points that the open page is
 * told. uPlot is served beside it. Rates are between neighbouring points, so a thinned-out history shows means.
 */
export const chartScript = `'use strict'
const box = document.getElementById('chart')
const wholeSeconds = [1, 5, 10, 15, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 604800]
if (box) draw(box)

async function draw(box) {
  // The server may be away; the page says so, and its chart comes when it is back.
  const answer = await fetch(box.dataset.history).catch(() => null)
  if (!answer || !answer.ok) return setTimeout(() => draw(box), 5000)
  const points = await answer.json()
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
  const grouped = (value) => (value == null ? '–' : Math.round(value).toLocaleString('en-US'))
  const series = (label, stroke, dash) => ({ label, stroke: () => colour(stroke), width: 2, dash, value: (_, v) => grouped(v), points: { show: false } })
  const axis = { stroke: () => colour('--soft'), grid: { stroke: () => colour('--line'), width: 1 }, ticks: { stroke: () => colour('--line'), width: 1 } }
  const plot = new uPlot(
    {
      width: box.clientWidth,
      height: 180,
      series: [{ label: 'Time' }, series('rows read/s', '--going'), series('events sent/s', '--good', [6, 4]), series('rows rejected/s', '--bad', [2, 3])],
      axes: [{ ...axis, incrs: wholeSeconds }, { ...axis, size: 64, values: (_, values) => values.map(grouped) }],
      scales: { y: { range: ({ data }) => [0, Math.max(10, 1.5 * mostlyBelow(data.slice(1).flat()))] } },
      cursor: { points: { show: false } },
    },
    ratesOf(points),
    box,
  )
  new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 180 })).observe(box)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.redraw())
  document.addEventListener('point', ({ detail }) => {
    const last = points.at(-1)
    if (last && detail.atMs <= last.atMs) return
    points.push(detail)
    plot.setData(ratesOf(points))
  })
}

/** Skipped rows are read in a moment; the rest must not look flat beside them. */
function mostlyBelow(rates) {
  const sorted = rates.filter((rate) => rate > 0).sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length * 0.95)] ?? 0
}

function ratesOf(points) {
  const data = [[], [], [], []]
  for (let index = 1; index < points.length; index++) {
    const before = points[index - 1]
    const point = points[index]
    const seconds = (point.atMs - before.atMs) / 1000
    if (seconds <= 0) continue
    data[0].push(point.atMs / 1000)
    data[1].push((point.read - before.read) / seconds)
    data[2].push((point.sent - before.sent) / seconds)
    data[3].push((point.rejected - before.rejected) / seconds)
  }
  return data
}
`
