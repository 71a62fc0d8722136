import { Buffer } from 'node:buffer'
import type { OutgoingEvent, PostHogEvent } from '@heapferry/domain'

/**
 * PostHog's capture service embeds an event's JSON as a string in a message of at most 1,000,000 bytes, so quotes and
 * backslashes count twice. What its pipeline adds later has to fit as well.
 */
export const maxEncodedBytes = 900_000

/** The event with its JSON, or how large it would be. `bytes` counts the JSON encoded twice. */
export function outgoing(
  event: PostHogEvent,
): ({ kind: 'outgoing' } & OutgoingEvent) | { kind: 'too_large'; bytes: number } {
  const json = Buffer.from(JSON.stringify(event))
  // JSON has escaped all else: encoded again, only quotes and backslashes grow, each by one byte.
  if (json.length * 2 + 2 > maxEncodedBytes) {
    const bytes = Buffer.byteLength(JSON.stringify(json.toString()))
    if (bytes > maxEncodedBytes) return { kind: 'too_large', bytes }
  }
  return { kind: 'outgoing', uuid: event.uuid, distinct_id: event.distinct_id, json }
}
