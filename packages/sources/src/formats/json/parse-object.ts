import { LosslessNumber, parse } from 'lossless-json'
import { hasDoubledBackslashes, hasOnlyDoubledBackslashes, withSingleBackslashes } from './backslashes.ts'

export type RowObject = Readonly<Record<string, unknown>>

/** A row's object, or why it is none: never with the parser's message, which quotes the row. */
export type ParsedObject = { kind: 'object'; object: RowObject } | { kind: 'fault'; detail: string }

/**
 * Parses one row. Whole numbers that a double cannot hold are `LosslessNumber`s; of keys that come twice the last counts.
 *
 * @param undoubled the backslashes of the file are doubled. Where they are not, a row that cannot be read otherwise is
 * still read with single ones. A row that is JSON but for NaN and infinity, as Python writes them, is read without those.
 */
export function parseObject(text: string, undoubled: boolean): ParsedObject {
  const asDoubled = undoubled && hasOnlyDoubledBackslashes(text)
  const read = (as: string) => parseAs(as, asDoubled)
  const json = read(text) ?? (noNumber.test(text) ? read(withoutNoNumbers(text)) : undefined)
  if (!json) return { kind: 'fault', detail: 'the row is not valid JSON' }
  return isObject(json.value)
    ? { kind: 'object', object: json.value }
    : { kind: 'fault', detail: 'the row is JSON, but no object' }
}

function parseAs(text: string, asDoubled: boolean): { value: unknown } | undefined {
  return (
    (asDoubled ? tryParse(withSingleBackslashes(text)) : undefined) ??
    tryParse(text) ??
    (!asDoubled && hasDoubledBackslashes(text) ? tryParse(withSingleBackslashes(text)) : undefined)
  )
}

const noNumber = /NaN|Infinity/
const textOrNoNumber = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/gs

function withoutNoNumbers(text: string): string {
  return text.replace(textOrNoNumber, (token) => (token.startsWith('"') ? token : 'null'))
}

export function isObject(value: unknown): value is RowObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof LosslessNumber)
}

function tryParse(text: string): { value: unknown } | undefined {
  try {
    return { value: unsafeNumber.test(text) ? parseLosslessly(text) : JSON.parse(text) }
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

// Numbers outside of strings, and a few within. Heap's own ids are below 2^53 (9007199254740992) and go through the parser
// of the engine, which is three times as fast.
const unsafeNumber = /[:,[]\s*-?(?:\d{17}|9\d{15}|\d[\d.]*[eE])/

function parseLosslessly(text: string): unknown {
  return parse(text, null, {
    parseNumber: (digits) => (isKept(digits) ? new LosslessNumber(digits) : Number(digits)),
    onDuplicateKey: ({ newValue }) => newValue,
  })
}

/** A double would lose digits, or make up some: `1.23e15` was an id once, and nobody knows which. */
function isKept(digits: string): boolean {
  const value = Number(digits)
  const [, fraction = '', exponent] = /^-?\d+(?:\.(\d+))?(?:[eE]\+?(-?\d+))?$/.exec(digits) ?? []
  if (exponent !== undefined)
    return !Number.isFinite(value) || (Number.isInteger(value) && fraction.length < Number(exponent))
  return Number.isInteger(value) && !Number.isSafeInteger(value) && fraction === ''
}
