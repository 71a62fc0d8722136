const dayMs = 86_400_000
const minuteMs = 60_000

/**
 * Milliseconds since 1970 of a time as any Heap export writes it; undefined for everything else.
 *
 * Heap's times are UTC even where no zone is written: `2023-01-02 03:04:05`, with `T` or a space, up to nine fractional
 * digits (cut to milliseconds, which is all that Heap records), and ` UTC`, `Z` or an offset at the end. Digits alone are
 * a Unix time in seconds, milliseconds, microseconds or nanoseconds, told apart by magnitude. Tools that show tables to
 * people write the month as a word, and what they do not show is zero (`isTimeInWords`). A date that does not exist
 * (`2023-02-30`) and a spreadsheet's `1/2/2023 3:04` (day or month first?) are not guessed.
 */
export function parseHeapTime(text: string): number | undefined {
  const trimmed = text.trim()
  if (trimmed.charCodeAt(4) !== dash) return parseUnixTime(trimmed) ?? parseTimeInWords(trimmed)

  const separator = trimmed.charCodeAt(10)
  if (
    trimmed.charCodeAt(7) !== dash ||
    (separator !== space && separator !== letterT) ||
    trimmed.charCodeAt(13) !== colon ||
    trimmed.charCodeAt(16) !== colon
  )
    return undefined
  const year = twoDigits(trimmed, 0) * 100 + twoDigits(trimmed, 2)
  const month = twoDigits(trimmed, 5)
  const day = twoDigits(trimmed, 8)
  const hour = twoDigits(trimmed, 11)
  const minute = twoDigits(trimmed, 14)
  const second = twoDigits(trimmed, 17)
  // Comparisons with NaN are false, so that every one of them also refuses what is not a digit.
  const isReal = month >= 1 && month <= 12 && day >= 1 && day <= daysIn(month, year)
  if (!isReal || !(hour <= 23 && minute <= 59 && second <= 59)) return undefined

  let at = 19
  let ms = 0
  if (trimmed.charCodeAt(at) === dot) {
    const start = at + 1
    at = start
    while (at < trimmed.length && isDigit(trimmed.charCodeAt(at))) {
      if (at - start < 3) ms = ms * 10 + trimmed.charCodeAt(at) - zero
      at++
    }
    const digits = at - start
    if (digits > 9) return undefined
    if (digits === 1) ms *= 100
    if (digits === 2) ms *= 10
  }
  const offsetMs = at === trimmed.length ? 0 : zoneOffsetMs(trimmed.slice(at))
  if (offsetMs === undefined) return undefined
  // Date.UTC takes 0 to 99 for 1900 to 1999; the calendar repeats every 400 years, which are 146,097 days.
  return Date.UTC(year + 400, month - 1, day, hour, minute, second, ms) - 146_097 * dayMs - offsetMs
}

/** The same, where a day alone is its midnight (UTC): dates of people, not times of events. */
export function parseHeapDate(text: string): number | undefined {
  const trimmed = text.trim()
  return parseHeapTime(/^\d{4}-\d\d-\d\d$/.test(trimmed) ? `${trimmed} 00:00:00` : trimmed)
}

const inWords =
  /^(Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?) (\d{1,2}), (\d{4}),? (\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?)(?:[ \u202f]([AP]M))?$/i
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

/** `May 1, 2023, 10:00 AM`, as Metabase formats times: seconds may be missing, and nothing says of which zone it is. */
export function isTimeInWords(text: string): boolean {
  return inWords.test(text.trim())
}

function parseTimeInWords(text: string): number | undefined {
  const [, word, day, year, clock, half] = inWords.exec(text) ?? []
  if (word === undefined || day === undefined || clock === undefined) return undefined
  const [hour = '', minute, seconds = '00'] = clock.split(':')
  const ofHalf = half === undefined ? Number(hour) : inDay(Number(hour), half)
  const date = [year, months.indexOf(word.slice(0, 3).toLowerCase()) + 1, day].map((part) =>
    String(part).padStart(2, '0'),
  )
  return parseHeapTime(`${date.join('-')} ${String(ofHalf).padStart(2, '0')}:${minute}:${seconds}`)
}

/** NaN, which no time has, for an hour that no clock of twelve shows. */
function inDay(hour: number, half: string): number {
  if (hour < 1 || hour > 12) return Number.NaN
  return (hour % 12) + (half.toUpperCase() === 'PM' ? 12 : 0)
}

const dash = 45
const dot = 46
const colon = 58
const space = 32
const zero = 48
const letterT = 84

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at)
  const ones = text.charCodeAt(at + 1)
  return isDigit(tens) && isDigit(ones) ? (tens - zero) * 10 + ones - zero : Number.NaN
}

function daysIn(month: number, year: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function zoneOffsetMs(zone: string): number | undefined {
  if (zone === ' UTC' || zone === 'Z' || zone === '+00:00') return 0
  const match = /^ ?(?:UTC|Z|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)$/.exec(zone)
  if (!match) return undefined
  const [, sign, hours = '0', minutes = '0'] = match
  const offsetMs = (Number(hours) * 60 + Number(minutes)) * minuteMs
  return sign === '-' ? -offsetMs : offsetMs
}

/** `.0` is what is left of an integer that went through a table of floats. */
function parseUnixTime(text: string): number | undefined {
  const digits = /^(\d{1,19})(?:\.0+)?$/.exec(text)?.[1]
  if (digits === undefined) return undefined
  // Not through a float: nanoseconds have more digits than a double keeps.
  const n = BigInt(digits)
  if (n >= 100_000_000_000_000_000n) return Number(n / 1_000_000n)
  if (n >= 100_000_000_000_000n) return Number(n / 1_000n)
  if (n >= 100_000_000_000n) return Number(n)
  return Number(n) * 1_000
}
