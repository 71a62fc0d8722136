/**
 * How fast a run was, from the history that the ledger keeps: for the chart of its page, which goes on in the browser, and
 * for that of its report. Rates are between neighbouring points, so a thinned-out history shows means; where nothing was
 * committed for several points' time, nothing was done, and the rate is zero there, not a slope.
 */

/** @typedef {import('../live-page.ts').ChartMark} Mark */
/** @typedef {{ atMs: number, read: number, sent: number, rejected: number }} Point */
/** @typedef {[times: number[], read: number[], sent: number[], rejected: number[]]} Rates a second, by seconds since 1970 */
/** @typedef {{ min: number, max: number }} Range in seconds since 1970 */

export const rateNames = ['rows read/s', 'events sent/s', 'rows rejected/s']

/**
 * @param {readonly Point[]} points
 * @param {number} endMs
 * @returns {Rates}
 */
export function ratesOf(points, endMs) {
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

/** The median of the times between points, in ms. @param {readonly Point[]} points */
function usualStep(points) {
  const steps = points.slice(1).map(({ atMs }, index) => atMs - (points[index]?.atMs ?? atMs))
  return steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 1000
}

/** Steps between times that people count in. */
export const wholeSeconds = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800,
]
const shownSteps = 30

/**
 * What is drawn, for those who cannot see or point: means of stretches between round times, and what happened in each. So
 * a line stays what it is while a run goes on, and only the last one changes.
 * @param {ArrayLike<ArrayLike<number | null | undefined>>} rates
 * @param {Range} range
 * @param {readonly Mark[]} marks
 * @returns {{ fromMs: number, toMs: number, means: (number | null)[], happened: string }[]}
 */
export function stretchesOf(rates, { min, max }, marks) {
  const step = wholeSeconds.find((seconds) => (max - min) / seconds <= shownSteps) ?? (max - min) / shownSteps
  const first = Math.floor(min / step)
  const steps = Math.max(1, Math.ceil(max / step) - first)
  return Array.from({ length: steps }, (_, index) => {
    const from = (first + index) * step
    const to = from + step
    const happened = marks.filter(({ fromMs, toMs }) => fromMs / 1000 < to && (toMs ?? Infinity) / 1000 >= from)
    return {
      fromMs: from * 1000,
      toMs: to * 1000,
      means: rateNames.map((_name, rate) => mean(rates, rate + 1, from, to)),
      happened: happened.map(({ text }) => text).join('; '),
    }
  })
}

/**
 * Of a rate that holds until the next point. Null where nothing is known.
 * @param {ArrayLike<ArrayLike<number | null | undefined>>} data
 * @param {number} of
 * @param {number} from
 * @param {number} to
 */
function mean(data, of, from, to) {
  let rows = 0
  let seconds = 0
  const times = data[0] ?? []
  for (let index = 0; index < times.length; index++) {
    const at = times[index]
    if (at == null) continue
    const start = Math.max(times[index - 1] ?? at, from)
    const stretch = Math.min(at, to) - start
    if (stretch <= 0) continue
    rows += (data[of]?.[index] ?? 0) * stretch
    seconds += stretch
  }
  return seconds === 0 ? null : rows / seconds
}
