import { createHash } from 'node:crypto'
import type { OutgoingEvent, PostHogEvent } from '@heapferry/domain'

/** Event number `n`: always the same, and unlike every other. */
export function outgoingEvent(n: number, change: Partial<PostHogEvent> = {}): OutgoingEvent {
  const hash = createHash('sha256').update(String(n)).digest('hex')
  const event: PostHogEvent = {
    uuid: `018a0000-${hash.slice(0, 4)}-7${hash.slice(4, 7)}-8${hash.slice(7, 10)}-${hash.slice(10, 22)}`,
    event: `event ${n % 7}`,
    distinct_id: String(9_007_199_254_740_993n + BigInt(n)),
    timestamp: new Date(1_692_185_821_463 + n).toISOString(),
    properties: { n, $geoip_disable: true, $ip: '0.0.0.0', title: 'Käse “&” 😀 \u2028\n"quoted"' },
    ...change,
  }
  return { uuid: event.uuid, distinct_id: event.distinct_id, json: Buffer.from(JSON.stringify(event)) }
}

export function outgoingEvents(count: number): OutgoingEvent[] {
  return Array.from({ length: count }, (_, n) => outgoingEvent(n))
}

export function uuidsOf(events: readonly OutgoingEvent[]): string[] {
  return events.map(({ uuid }) => uuid)
}
