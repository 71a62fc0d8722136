/** `fromMs` inclusive, `toMs` exclusive; milliseconds since 1970. */
export interface TimeRange {
  fromMs: number
  toMs: number
}

/** What PostHog holds of a run under one event name, in one UTC day or a part of it. */
export interface FoundEvents {
  event: string
  /** Days since 1970-01-01. */
  day: number
  /** An event that arrived twice counts twice until PostHog has merged the two. */
  rows: number
  /** By what PostHog merges events by: uuid, name, distinct_id and time. */
  different: number
  uuids: number
}
