export interface SentTime {
  timestamp: string | null | undefined
  /** Milliseconds before the server's now; beats `timestamp`. */
  offsetMs: number | null | undefined
  /** The client's clock when it sent the request, null where it did not say or asked not to use it. */
  sentAtMs: number | null
}

// ±HH without minutes is taken too: PostHog completes it before parsing.
const zoned = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d(?::?\d\d)?)$/
const civil = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: UTC)?$/
const unixSeconds = /^\d{10}$/
const unixMs = /^\d{13}$/

const latestMs = 23 * 3600_000

/**
 * The time PostHog stores, in ms since 1970, by its own rules: what it cannot read becomes `nowMs` without a word, the
 * client's clock error (`sent_at` − now) is subtracted, and anything later than 23 h from now becomes now.
 */
export function storedTimeMs({ timestamp, offsetMs, sentAtMs }: SentTime, nowMs: number): number {
  const read = typeof timestamp === 'string' ? parseTimestampMs(timestamp) : null
  let ms = nowMs
  if (read !== null) ms = sentAtMs === null ? read : read - (sentAtMs - nowMs)
  if (typeof offsetMs === 'number') ms = nowMs - offsetMs
  if (ms - nowMs > latestMs) ms = nowMs
  return isStorable(ms) ? ms : 0
}

/**
 * Null where PostHog would not read it. Its date library knows rarer forms (slashes, RFC 2822, a day alone); here they
 * count as unreadable, so that a rehearsal shows them instead of depending on them.
 */
export function parseTimestampMs(text: string): number | null {
  const match = zoned.exec(text) ?? civil.exec(text)
  if (match) return calendarMs(match)
  if (unixMs.test(text)) return Number(text)
  return unixSeconds.test(text) ? Number(text) * 1000 : null
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/

/** RFC 3339 and nothing else; null for other text. */
export function parseRfc3339Ms(text: string): number | null {
  return rfc3339.test(text) ? parseTimestampMs(text) : null
}

function calendarMs([, year, month, day, hour, minute, second, fraction = '', zone = 'Z']: RegExpExecArray):
  | number
  | null {
  // Only milliseconds survive PostHog's pipeline.
  const ms = Number(fraction.slice(0, 3).padEnd(3, '0'))
  const date = new Date(0)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  date.setUTCHours(Number(hour), Number(minute), Number(second), ms)
  const rolledOver =
    date.getUTCMonth() !== Number(month) - 1 ||
    date.getUTCDate() !== Number(day) ||
    date.getUTCHours() !== Number(hour) ||
    date.getUTCMinutes() !== Number(minute)
  return rolledOver ? null : date.getTime() - offsetMsOf(zone)
}

function offsetMsOf(zone: string): number {
  if (zone === 'Z' || zone === 'z') return 0
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3).replace(':', '') || 0)
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
}

function isStorable(ms: number): boolean {
  const year = new Date(ms).getUTCFullYear()
  return year >= 0 && year <= 9999
}
