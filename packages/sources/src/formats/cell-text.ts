import { isUtf8 } from 'node:buffer'
import { idColumns } from '@heapferry/domain'

/** Fractions of a second that a typed format counts in. */
export type TimeUnit = 'millis' | 'micros' | 'nanos'

const perSecond = { millis: 1_000, micros: 1_000_000, nanos: 1_000_000_000 } as const
const fractionDigits = { millis: 3, micros: 6, nanos: 9 } as const
const daySeconds = 86_400

/** `YYYY-MM-DD HH:MM:SS[.fff]` of a time since 1970-01-01, exact, without a zone. */
export function timestampText(value: number | bigint, unit: TimeUnit): string {
  const [days, inDay] = divide(value, daySeconds * perSecond[unit])
  const [second, fraction] = divide(inDay, perSecond[unit])
  return `${dateText(days)} ${clockText(second, fraction, unit)}`
}

/** `HH:MM:SS[.fff]` of a time since midnight; the number itself where that is no time of a day. */
export function timeText(value: number | bigint, unit: TimeUnit): string {
  const [seconds, fraction] = divide(value, perSecond[unit])
  if (seconds < 0 || seconds >= daySeconds) return String(value)
  return clockText(seconds, fraction, unit)
}

// What a Date holds: some 270,000 years around 1970.
const maxDays = 100_000_000
// Rows of one file lie close together in time.
let lastDays = 0
let lastDate = '1970-01-01'

/**
 * `YYYY-MM-DD` of a number of days since 1970-01-01. A year beyond 9999 has a sign and six digits, and a day beyond all
 * calendars is no date at all, so that neither is ever taken for a time of Heap's.
 */
export function dateText(days: number): string {
  if (days === lastDays) return lastDate
  if (Math.abs(days) > maxDays) return `day ${days}`
  lastDays = days
  lastDate = new Date(days * daySeconds * 1000).toISOString().split('T', 1)[0] ?? ''
  return lastDate
}

/** All digits of `unscaled` / 10^`scale`. */
export function decimalText(unscaled: bigint, scale: number): string {
  if (scale <= 0) return String(unscaled * 10n ** BigInt(-scale))
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** A number as decimals store it: two's complement, the highest byte first. */
export function unscaledOf(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt.asIntN(bytes.length * 8, BigInt(`0x${hexText(bytes)}`))
}

export function uuidText(bytes: Uint8Array): string {
  return hexText(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** Bytes of which nobody says what they are: as text where they are text, else in hex. */
export function bytesText(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) return hexText(bytes)
  const text = bufferOf(bytes).toString('utf8')
  return controls.test(text) ? hexText(bytes) : text
}

// Text has line ends and tabs; other control characters tell that it is none.
// oxlint-disable-next-line no-control-regex
const controls = /[\0-\x08\x0b\x0c\x0e-\x1f]/

/** Columns in which two that are rounded to the same would become one person, or one event. */
export const exactColumns: ReadonlySet<string> = new Set([...idColumns, 'identity'])

// From there on a number of 32 bits may stand for its neighbour, too.
const firstInexactFloat = 2 ** 24

/** A number that stands for an id: nothing where it is none, and with lost digits where it may stand for several ids. */
export function idNumberText(value: number, isFloat: boolean): string | null {
  if (!Number.isFinite(value)) return null
  const isExact = isFloat ? Math.abs(value) < firstInexactFloat : Math.abs(value) <= Number.MAX_SAFE_INTEGER
  return isExact ? String(value) : value.toExponential(6)
}

/** Inside of a nested value, where JSON has no NaN and no infinity. */
export function jsonNumber(value: number): string {
  return Number.isFinite(value) ? String(value) : 'null'
}

function hexText(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('hex')
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const twoDigits = Array.from({ length: 100 }, (_, number) => String(number).padStart(2, '0'))

function clockText(second: number, fraction: number, unit: TimeUnit): string {
  const minute = Math.floor(second / 60)
  const clock = `${twoDigits[Math.floor(minute / 60)]}:${twoDigits[minute % 60]}:${twoDigits[second % 60]}`
  if (fraction === 0) return clock
  const digits = String(fraction).padStart(fractionDigits[unit], '0')
  let end = digits.length
  while (digits[end - 1] === '0') end--
  return `${clock}.${digits.slice(0, end)}`
}

/** Quotient and rest, the rest never negative. By way of the rest: a quotient of doubles could be rounded up. */
function divide(value: number | bigint, by: number): [quotient: number, rest: number] {
  if (typeof value === 'bigint') {
    const divisor = BigInt(by)
    const rest = ((value % divisor) + divisor) % divisor
    return [Number((value - rest) / divisor), Number(rest)]
  }
  const rest = ((value % by) + by) % by
  return [(value - rest) / by, rest]
}
