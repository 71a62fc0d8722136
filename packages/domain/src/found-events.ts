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

/** How many people PostHog counts under each event of a run, in a range of whole UTC days. */
export interface FoundPeople {
  /** The one that was asked for, or a part of it. */
  range: TimeRange
  /** By event. */
  people: ReadonlyMap<string, number>
}

/** Some of the ids that a run has sent an event under, and PostHog's persons whose they are. */
export interface IdsOfEvent {
  ids: readonly { distinctId: string; personId: string }[]
  /** Where the next begin; null where these are the last. */
  after: string | null
}
