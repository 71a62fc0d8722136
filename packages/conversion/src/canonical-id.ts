/** What a cell of an id column holds. `id` is the only spelling of its number: decimal digits, no leading zero. */
export type IdReading =
  | { kind: 'id'; id: string }
  | { kind: 'missing' }
  /** `why` never contains the value. */
  | { kind: 'damaged'; why: string }

const int64Max = 9_223_372_036_854_775_807n

/**
 * Reads a Heap id without ever passing it through a float: 16 digits are the normal length of one and doubles end there.
 * What tools leave of integers is accepted as long as every digit is present: leading zeros, `4702333951502204.0`,
 * `4.702333951502204e+15`, `4,702,333,951,502,204`. A shortened form (`1.23e15`) stands for many ids and is damaged. Ids
 * may be negative: Heap makes those of identified people by hashing and documents no range but that of a signed 64-bit
 * integer.
 */
export function canonicalId(text: string | null): IdReading {
  if (text === null) return { kind: 'missing' }
  if (/^[1-9]\d{0,17}$/.test(text)) return { kind: 'id', id: text }
  const trimmed = text.trim()
  if (!trimmed.startsWith('-')) return readUnusual(trimmed)
  const reading = readUnusual(trimmed.slice(1))
  if (reading.kind === 'missing') return { kind: 'damaged', why: notAnInteger }
  if (reading.kind === 'damaged' || reading.id === '0') return reading
  return { kind: 'id', id: `-${reading.id}` }
}

const notAnInteger = 'is not an integer'
const lostDigits = 'has lost digits'

/** `1.23e15`, as spreadsheets and floats leave long numbers. */
export function hasLostDigits(text: string): boolean {
  if (!/^\s*-?\d\.\d+[eE]\+?\d/.test(text)) return false
  const reading = canonicalId(text)
  return reading.kind === 'damaged' && reading.why === lostDigits
}

function readUnusual(text: string): IdReading {
  if (text === '') return { kind: 'missing' }
  const plain = /^(\d+|\d{1,3}(?:,\d{3}){2,})(?:\.0+)?$/.exec(text)?.[1]
  if (plain !== undefined) return inInt64(plain.replaceAll(',', ''))
  const [, whole, fraction = '', exponent] = /^(\d+)(?:\.(\d+))?[eE]\+?(\d{1,3})$/.exec(text) ?? []
  if (whole === undefined || exponent === undefined) return { kind: 'damaged', why: notAnInteger }
  const shift = Number(exponent)
  if (fraction.length < shift) return { kind: 'damaged', why: lostDigits }
  if (/[^0]/.test(fraction.slice(shift))) return { kind: 'damaged', why: notAnInteger }
  return inInt64(whole + fraction.slice(0, shift))
}

function inInt64(digits: string): IdReading {
  const significant = digits.replace(/^0+(?=\d)/, '')
  // The length first: BigInt of a cell with a million digits takes seconds.
  if (significant.length > 19 || BigInt(significant) > int64Max)
    return { kind: 'damaged', why: 'is larger than a 64-bit integer' }
  return { kind: 'id', id: significant }
}
