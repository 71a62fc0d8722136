import type { CapturedEvent } from './capture.ts'

export interface StoredEvent {
  event: string
  distinct_id: string
  /** `YYYY-MM-DDTHH:MM:SS.sssZ` */
  timestamp: string
  /** How often the very same event arrived; PostHog keeps one. */
  times: number
  /** Of the latest arrival; only kept with `keep: 'events'`. */
  properties?: Record<string, unknown>
}

interface Counts {
  /** Rows that PostHog would hold after deduplication. */
  stored: number
  /** Arrivals of an event that was already there. */
  duplicates: number
  /** Arrivals under a known uuid with another name, distinct_id or time: a second row, for ever. */
  uuidClashes: number
  /** Taken without a word and thrown away: no project has the token, or the project is over its billing limit. */
  dropped: number
  byEvent: Record<string, number>
  /** By UTC day, `YYYY-MM-DD`. */
  byDay: Record<string, number>
}

export interface Store {
  /** By uuid. PostHog's key is uuid, name, distinct_id and time; a clashing second row is under `<uuid>#2`, and so on. */
  readonly stored: ReadonlyMap<string, StoredEvent>
  add(events: readonly CapturedEvent[]): void
  drop(events: readonly CapturedEvent[]): void
  counts(): Counts
}

/** @param onStored told of each event that was not there before */
export function createStore(keep: 'ids' | 'events', onStored?: (event: CapturedEvent) => void): Store {
  const stored = new Map<string, StoredEvent>()
  const byEvent = new Map<string, number>()
  const byDay = new Map<string, number>()
  let duplicates = 0
  let uuidClashes = 0
  let dropped = 0

  function addOne(captured: CapturedEvent): void {
    const { uuid, event, distinct_id, timestamp, properties } = captured
    let key = uuid
    for (let n = 2, known = stored.get(uuid); known; n += 1, known = stored.get(key)) {
      if (known.event === event && known.distinct_id === distinct_id && known.timestamp === timestamp) {
        known.times += 1
        if (keep === 'events') known.properties = properties
        duplicates += 1
        return
      }
      key = `${uuid}#${n}`
    }
    if (key !== uuid) uuidClashes += 1
    const kept = keep === 'events' ? { properties } : {}
    stored.set(key, { event, distinct_id, timestamp, times: 1, ...kept })
    increment(byEvent, event)
    increment(byDay, timestamp.slice(0, 10))
    onStored?.(captured)
  }

  return {
    stored,
    add(events) {
      for (const event of events) addOne(event)
    },
    drop(events) {
      dropped += events.length
    },
    counts: () => ({
      stored: stored.size,
      duplicates,
      uuidClashes,
      dropped,
      byEvent: Object.fromEntries(byEvent),
      byDay: Object.fromEntries(byDay),
    }),
  }
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
