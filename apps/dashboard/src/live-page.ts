/** What open pages are told: the page anew, and how it is now for the chart. */
export interface LivePage {
  title: string
  /** More is to come. */
  live: boolean
  /** Markup of `main`. */
  main: string
  /** The newest point of the chart; null where the page has none. */
  point: { atMs: number; read: number; sent: number; rejected: number } | null
}
