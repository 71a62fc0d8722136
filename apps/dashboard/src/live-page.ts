/** A stretch of a run in which something else than its rate is to be seen; `toMs` is null while it lasts. */
export interface ChartMark {
  kind: 'paused' | 'waited' | 'phase'
  fromMs: number
  toMs: number | null
  text: string
}

/** What open pages are told: the page anew, and how it is now for the chart. */
export interface LivePage {
  title: string
  /** More is to come. */
  live: boolean
  /** Markup of `main`. */
  main: string
  /** The newest point of the chart, if there is one, and its marks; null where the page has no chart. */
  chart: {
    point: { atMs: number; read: number; sent: number; rejected: number } | null
    marks: readonly ChartMark[]
  } | null
}
