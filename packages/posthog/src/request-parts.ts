import type { OutgoingEvent } from '@heapferry/domain'
import type { PutOff } from './backoff.ts'

/** Events of a call that go out in one request, by their indexes. */
export interface RequestPart {
  indexes: readonly number[]
  /** PostHog has asked for them again. */
  putOff?: PutOff
}

// PostHog takes 20 MB a request; smaller ones lose less when they have to be repeated.
const maxRequestEvents = 1000
const maxRequestBytes = 4_000_000

/**
 * One event larger than a whole request may be goes alone: PostHog decides about it. Two rows with one `event_id` that
 * differ are two events with one uuid, which no request may hold.
 */
export function requestParts(events: readonly OutgoingEvent[]): RequestPart[] {
  const parts: RequestPart[] = []
  let indexes: number[] = []
  let bytes = 0
  const inPart = new Map<string, Uint8Array>()
  for (const [index, { uuid, json }] of events.entries()) {
    const eventBytes = json.length + 1
    const twin = inPart.get(uuid)
    const isFull = indexes.length === maxRequestEvents || bytes + eventBytes > maxRequestBytes
    if (indexes.length > 0 && (isFull || (twin && Buffer.compare(twin, json) !== 0))) {
      parts.push({ indexes })
      indexes = []
      bytes = 0
      inPart.clear()
    }
    indexes.push(index)
    bytes += eventBytes
    inPart.set(uuid, json)
  }
  if (indexes.length > 0) parts.push({ indexes })
  return parts
}

export function eventsOf({ indexes }: RequestPart, events: readonly OutgoingEvent[]): OutgoingEvent[] {
  return indexes.map((index) => events[index]).filter((event) => event !== undefined)
}

export function halvesOf({ indexes }: RequestPart): [RequestPart, RequestPart] {
  const middle = Math.ceil(indexes.length / 2)
  return [{ indexes: indexes.slice(0, middle) }, { indexes: indexes.slice(middle) }]
}
