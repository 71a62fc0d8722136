import { z } from 'zod'
import type { Table } from './table.ts'
import type { Tally } from './tally.ts'

/** The ways to send: PostHog answers `v1` for every event, `batch` and `sdk` for a whole request. */
export const TransportName = z.enum(['v1', 'batch', 'sdk'])
export type TransportName = z.infer<typeof TransportName>

/**
 * A `PostHogEvent` as its JSON in UTF-8, made once: the size guard and the request body both need it. The event itself is
 * let go: a thousand of them held until PostHog answers cost more in garbage collection than anything else.
 */
export interface OutgoingEvent {
  uuid: string
  distinct_id: string
  json: Uint8Array
}

/** PostHog will never take this event; the others of its batch are stored. */
export interface Refusal {
  /** Index into the events of the call. */
  index: number
  detail: string
}

/** Where a batch comes from. The same rows have the same name, whoever sends them and however often. */
export interface BatchOrigin {
  table: Table
  /** Days since 1970-01-01 (UTC) of the first row of its chunk. */
  day: number | null
  /** Unique in the run. */
  name: string
}

export type Delivery =
  /** Every event is in PostHog's durable queue, or in a file, but for the refused. `warned` counts remarks on the others. */
  | { kind: 'acknowledged'; refused: readonly Refusal[]; warned: Tally['warned'] }
  /** The signal came first; any of the events may or may not have arrived. */
  | { kind: 'interrupted' }

/** All events, or none where there were none, are taken without a remark. */
export const allTaken: Extract<Delivery, { kind: 'acknowledged' }> = { kind: 'acknowledged', refused: [], warned: {} }

export interface EventSink {
  /**
   * Sends until PostHog has answered for every event, through outages of any length.
   * @param onLeft may be called, once or more, when all of the events are out and only answers are awaited
   * @throws OperatorError when only a person can help (key refused, quota)
   */
  send(
    events: readonly OutgoingEvent[],
    signal: AbortSignal,
    origin: BatchOrigin,
    onLeft?: () => void,
  ): Promise<Delivery>
}
