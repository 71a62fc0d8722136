/**
 * Draws how fast a run was, from the history that the ledger keeps, and goes on with what the open page is told. uPlot is
 * served beside it.
 */
import { rateNames, ratesOf, stretchesOf, wholeSeconds } from './rates.js'

/** @typedef {import('../live-page.ts').ChartMark} Mark */
/** @typedef {import('./rates.js').Point} Point */

const wholeRates = Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat()
const hour = 3600
const day = 24 * hour
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
  const table = document.getElementById('chart-table')

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
      // Half of the last time below the axis.
      padding: [null, 36, null, null],
      series: [
        { label: 'Time', value: (_, seconds) => (seconds == null ? '–' : shownTime(seconds)) },
        { ...series('rows read/s', '--going', []), fill: () => `${colour('--going')}22` },
        series('events sent/s', '--good', [6, 4]),
        series('rows rejected/s', '--bad', [2, 3]),
      ],
      axes: [
        { ...axis, incrs: wholeSeconds, space: 100, values: (_, splits, __, ___, every) => times(splits, every) },
        { ...axis, incrs: wholeRates, size: 64, values: (_, values) => values.map(grouped) },
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
    if (table instanceof HTMLDetailsElement && table.open) fill(table, plot.data, range(end), history.marks)
  }

  for (const button of document.querySelectorAll('[data-view]')) {
    button.addEventListener('click', () => {
      if (button instanceof HTMLElement) show(button.dataset.view === 'hour' ? 'hour' : 'whole')
    })
  }
  table?.addEventListener('toggle', update)
  table?.addEventListener('click', ({ target }) => {
    if (!(target instanceof HTMLButtonElement)) return
    show({ min: Number(target.dataset.from), max: Number(target.dataset.to) })
    // What was pressed is gone, unless it begins the stretch that is shown now.
    const next = table.querySelector('tbody button') ?? table.querySelector('summary')
    if (next instanceof HTMLElement) next.focus()
  })
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

/** As the page writes moments. @param {number} seconds */
function shownTime(seconds) {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
}

/**
 * Below the axis, short enough for a phone; the day stands where it is another.
 * @param {readonly number[]} splits in seconds
 * @param {number} every seconds
 */
function times(splits, every) {
  let before = ''
  return splits.map((seconds) => {
    const at = new Date(seconds * 1000)
    const date = at.toLocaleDateString(undefined, { month: 'short', day: 'numeric' })
    if (every >= day) return date
    const time = at.toLocaleTimeString(undefined, { timeStyle: every < 60 ? 'medium' : 'short' })
    const text = date === before ? time : `${time}\n${date}`
    before = date
    return text
  })
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
 * Lines keep what is focused and selected in them while others come.
 * @param {HTMLDetailsElement} details
 * @param {uPlot.AlignedData} data
 * @param {import('./rates.js').Range} range
 * @param {readonly Mark[]} marks
 */
function fill(details, data, range, marks) {
  const stretches = stretchesOf(data, range, marks)
  const days = new Set(stretches.map(({ fromMs }) => new Date(fromMs).toDateString()))
  const lines = stretches.map(({ fromMs, toMs, means, happened }) => {
    const time = days.size > 1 ? shownTime(fromMs / 1000) : new Date(fromMs).toLocaleTimeString()
    const line = part('tr', 'row')
    line.id = `from-${fromMs}`
    const head = part('th', 'rowheader')
    head.setAttribute('scope', 'row')
    head.append(toMs - fromMs > 1000 ? closer(fromMs, toMs, time) : time)
    const cells = [...means.map(grouped), happened].map((text, index) => {
      const cell = part('td', 'cell')
      cell.textContent = text
      cell.dataset.name = rateNames[index] ?? 'happened'
      if (index === rateNames.length) cell.className = 'words'
      return cell
    })
    line.append(head, ...cells)
    return line
  })
  const body = details.querySelector('tbody')
  const fresh = part('tbody', 'rowgroup')
  fresh.append(...lines)
  if (body) void Idiomorph.morph(body, fresh)
}

/** What dragging does, for who does not drag. @type {(fromMs: number, toMs: number, time: string) => HTMLElement} */
function closer(fromMs, toMs, time) {
  const button = document.createElement('button')
  button.className = 'plain'
  button.id = `closer-${fromMs}`
  button.dataset.from = String(fromMs / 1000)
  button.dataset.to = String(toMs / 1000)
  button.textContent = time
  const heard = document.createElement('span')
  heard.className = 'heard'
  heard.textContent = ': look closer'
  button.append(heard)
  return button
}

/** The role keeps it a table where a phone shows it as blocks. @type {(name: string, role: string) => HTMLElement} */
function part(name, role) {
  const element = document.createElement(name)
  element.setAttribute('role', role)
  return element
}
