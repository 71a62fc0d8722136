/**
 * Draws how fast a run was, from the history that the ledger keeps, and goes on with what the open page is told. uPlot is
 * served beside it. Rates are between neighbouring points, so a thinned-out history shows means; where nothing was
 * committed for several points' time, nothing was done, and the rate is zero there, not a slope.
 */
'use strict'

/** @typedef {import('../live-page.ts').ChartMark} Mark */
/** @typedef {{ atMs: number, read: number, sent: number, rejected: number }} Point */
/** @typedef {[times: number[], read: number[], sent: number[], rejected: number[]]} Rates a second, by seconds since 1970 */

const wholeSeconds = [1, 5, 10, 15, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 604800]
const names = ['rows read/s', 'events sent/s', 'rows rejected/s']
const hour = 3600
const height = 200
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
  // Of the server's clock: the reader's may be wrong.
  const servedAtMs = Date.parse(answer.headers.get('date') ?? '') - performance.now()
  /** @type {{ points: Point[], marks: Mark[] }} */
  const history = await answer.json()
  /** @type {'whole' | 'hour' | { min: number, max: number }} */
  let view = 'whole'

  const endMs = () => {
    const lastMs = history.points.at(-1)?.atMs ?? 0
    return isLive() ? Math.max(lastMs, servedAtMs + performance.now()) : lastMs
  }
  /** @param {number} end in ms */
  const range = (end) => {
    if (typeof view === 'object') return view
    const first = (history.points[0]?.atMs ?? 0) / 1000
    return { min: view === 'hour' ? Math.max(first, end / 1000 - hour) : first, max: end / 1000 }
  }

  const axis = {
    stroke: () => colour('--soft'),
    grid: { stroke: () => colour('--line'), width: 1 },
    ticks: { stroke: () => colour('--line'), width: 1 },
  }
  const plot = new uPlot(
    {
      width: box.clientWidth,
      height,
      series: [
        { label: 'Time' },
        { ...series('rows read/s', '--going', []), fill: () => `${colour('--going')}22` },
        series('events sent/s', '--good', [6, 4]),
        series('rows rejected/s', '--bad', [2, 3]),
      ],
      axes: [
        { ...axis, incrs: wholeSeconds },
        { ...axis, size: 64, values: (_, values) => values.map(grouped) },
      ],
      scales: { x: { auto: false, ...range(endMs()) }, y: { range: (_, __, max) => [0, Math.max(10, 1.1 * max)] } },
      cursor: {
        points: { show: false },
        drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => wholeRun },
      },
      hooks: {
        drawClear: [drawMarks],
        setCursor: [showLatest],
        setSelect: [selected],
      },
    },
    ratesOf(history.points, endMs()),
    box,
  )

  /** @param {uPlot} drawn */
  function drawMarks(drawn) {
    const { ctx, bbox } = drawn
    /** @param {number} ms */
    const x = (ms) => Math.min(Math.max(drawn.valToPos(ms / 1000, 'x', true), bbox.left), bbox.left + bbox.width)
    ctx.save()
    for (const { kind, fromMs, toMs } of history.marks) {
      const from = x(fromMs)
      const to = x(toMs ?? endMs())
      ctx.globalAlpha = kind === 'phase' ? 1 : 0.2
      ctx.fillStyle = colour(kind === 'waited' ? '--warn' : '--soft')
      if (to > from || kind === 'phase') ctx.fillRect(from, bbox.top, Math.max(to - from, 2), bbox.height)
    }
    ctx.restore()
  }

  /** @param {uPlot} drawn */
  function selected({ select, posToVal }) {
    if (select.width > 4) {
      show({ min: posToVal(select.left, 'x'), max: posToVal(select.left + select.width, 'x') })
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
    }
  }

  function wholeRun() {
    show('whole')
    return null
  }

  /** @param {typeof view} wanted */
  function show(wanted) {
    view = wanted
    for (const button of document.querySelectorAll('[data-view]')) {
      if (button instanceof HTMLElement) button.setAttribute('aria-pressed', String(button.dataset.view === view))
    }
    update()
  }

  function update() {
    const end = endMs()
    plot.batch(() => {
      plot.setData(ratesOf(history.points, end), false)
      plot.setScale('x', range(end))
    })
    showLatest(plot)
    const table = document.getElementById('chart-table')
    if (table instanceof HTMLDetailsElement && table.open) fill(table, plot.data, range(end), history.marks)
  }

  for (const button of document.querySelectorAll('[data-view]')) {
    button.addEventListener('click', () => {
      if (button instanceof HTMLElement) show(button.dataset.view === 'hour' ? 'hour' : 'whole')
    })
  }
  document.getElementById('chart-table')?.addEventListener('toggle', update)
  new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height })).observe(box)
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.redraw())
  document.addEventListener('chart', (event) => {
    if (!(event instanceof CustomEvent)) return
    /** @type {NonNullable<import('../live-page.ts').LivePage['chart']>} */
    const { point, marks } = event.detail
    history.marks = [...marks]
    if (point && point.atMs > (history.points.at(-1)?.atMs ?? 0)) history.points.push(point)
    update()
  })
  setInterval(() => {
    if (isLive() && !document.hidden) update()
  }, 1000)
  update()
}

/** Of the moment that is pointed at, else of the latest. @param {uPlot} drawn */
function showLatest(drawn) {
  if (drawn.cursor.idx == null) drawn.setLegend({ idx: drawn.data[0].length - 1 }, false)
}

function isLive() {
  return document.getElementById('main')?.dataset.live === 'yes'
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

/**
 * @param {Point[]} points
 * @param {number} endMs
 * @returns {Rates}
 */
function ratesOf(points, endMs) {
  /** @type {Rates} */
  const data = [[], [], [], []]
  /** @param {number} atMs @param {number[]} rates */
  const push = (atMs, rates) => {
    data[0].push(atMs / 1000)
    for (const [index, rate] of rates.entries()) data[index + 1]?.push(rate)
  }
  const everyMs = usualStep(points)
  const isGap = (/** @type {number} */ ms) => ms > Math.max(3 * everyMs, 3000)
  for (const [index, point] of points.entries()) {
    const before = points[index - 1]
    if (!before || point.atMs <= before.atMs) continue
    const stood = isGap(point.atMs - before.atMs)
    if (stood) {
      push(before.atMs + 1, [0, 0, 0])
      push(point.atMs - everyMs, [0, 0, 0])
    }
    const seconds = (stood ? everyMs : point.atMs - before.atMs) / 1000
    push(
      point.atMs,
      [point.read - before.read, point.sent - before.sent, point.rejected - before.rejected].map(
        (rows) => rows / seconds,
      ),
    )
  }
  const lastMs = points.at(-1)?.atMs
  if (lastMs !== undefined && isGap(endMs - lastMs)) {
    push(lastMs + everyMs, [0, 0, 0])
    push(endMs, [0, 0, 0])
  }
  return data
}

/** The median of the times between points, in ms. @param {Point[]} points */
function usualStep(points) {
  const steps = points.slice(1).map(({ atMs }, index) => atMs - (points[index]?.atMs ?? atMs))
  return steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 1000
}

const shownSteps = 24

/**
 * What is drawn, for those who cannot see or point: means of equal stretches, and what happened in each.
 * @param {HTMLDetailsElement} details
 * @param {uPlot.AlignedData} data
 * @param {{ min: number, max: number }} range
 * @param {readonly Mark[]} marks
 */
function fill(details, data, { min, max }, marks) {
  const steps = Math.max(1, Math.min(shownSteps, Math.floor(max - min)))
  const step = (max - min) / steps
  const body = details.querySelector('tbody')
  if (!body) return
  const lines = []
  for (let index = 0; index < steps; index++) {
    const from = min + index * step
    const to = from + step
    const happened = marks.filter(({ fromMs, toMs }) => fromMs / 1000 < to && (toMs ?? Infinity) / 1000 >= from)
    lines.push([
      new Date(from * 1000).toLocaleTimeString(),
      ...names.map((_, rate) => grouped(mean(data, rate + 1, from, to))),
      happened.map(({ text }) => text).join('; '),
    ])
  }
  body.replaceChildren(
    ...lines.map(([time = '', ...cells]) => {
      const line = document.createElement('tr')
      const head = document.createElement('th')
      head.scope = 'row'
      head.textContent = time
      line.append(
        head,
        ...cells.map((text, index) => {
          const cell = document.createElement('td')
          cell.textContent = text
          cell.dataset.name = names[index] ?? 'happened'
          if (index === names.length) cell.className = 'words'
          return cell
        }),
      )
      return line
    }),
  )
}

/**
 * Of a rate that holds until the next point. Null where nothing is known.
 * @param {uPlot.AlignedData} data
 * @param {number} of
 * @param {number} from
 * @param {number} to
 */
function mean(data, of, from, to) {
  let rows = 0
  let seconds = 0
  for (const [index, at] of data[0].entries()) {
    const start = Math.max(data[0][index - 1] ?? at, from)
    const stretch = Math.min(at, to) - start
    if (stretch <= 0) continue
    rows += (data[of]?.[index] ?? 0) * stretch
    seconds += stretch
  }
  return seconds === 0 ? null : rows / seconds
}
