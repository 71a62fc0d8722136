import { z } from 'zod'
import type { Destination } from './run.ts'
import type { OutgoingEvent } from './sink.ts'

/** Events a second that all workers of a run may send together; null: as many as they can. */
export const Pace = z.number().int().positive().nullable()
export type Pace = z.infer<typeof Pace>

/** How fast a run may send now. */
export interface CurrentPace {
  limit: Pace
  /** What is left of the limit after PostHog's 429 and 5xx; equal to it when they are long over. */
  effective: Pace
  /** Null where events go as the limit says. */
  reason: PaceReason | null
  /** When a person changed the limit last; 0 where nobody has. */
  changedAtMs: number
}

/** Why events go slower than the limit says. */
export type PaceReason =
  /** PostHog named a moment before which it wants no request. */
  | { kind: 'retry_after'; leftMs: number }
  /** PostHog answered 429 or 5xx, a moment ago. */
  | { kind: 'lowered'; status: number }
  /** A distinct_id has more events than PostHog processes of one in a minute. */
  | { kind: 'busy_id' }

// What PostHog's own managed migrations send at most.
const cloudPace = 5000

/** The pace of a run for which nobody wants another: PostHog Cloud is shared with everyone, all else is the user's. */
export function defaultPace(destination: Destination): Pace {
  if (destination.kind === 'json_lines') return null
  return /(?:^|\.)posthog\.com$/.test(new URL(destination.host).hostname) ? cloudPace : null
}

// Requests of a paced run hold what it may send in this part of a second: one that is late on its way is 2.5 %.
const requestsPerSecond = 40
// PostHog's own importers send up to 1000 events at once.
export const largestUnpaced = 1000

/** How many events one request may hold. */
export function largestRequest(pace: Pace): number {
  return pace === null ? largestUnpaced : Math.min(largestUnpaced, Math.max(1, Math.floor(pace / requestsPerSecond)))
}

export const noPace: CurrentPace = { limit: null, effective: null, reason: null, changedAtMs: 0 }

/** What holds back all senders of a run together, in whichever process they are. */
export interface Pacer {
  /**
   * Waits until events may be sent.
   * @returns how many of them, at least one, may go now in one request; null when the signal came first
   */
  take(events: readonly OutgoingEvent[], signal: AbortSignal): Promise<number | null>
  /** PostHog wants a request again: `afterMs` from now, if it named a time. A status is there unless it was silent. */
  later(answer: { afterMs: number | null; status?: number }): Promise<void>
}
