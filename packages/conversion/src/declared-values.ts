import type { DeclaredType, Types, Values } from '@heapferry/domain'
import { storableText } from './storable-text.ts'

/**
 * The cells of a row as text to be read: numbers that are none (NaN, infinity) are nothing, and those of 32 bits have only
 * the digits that they know.
 */
export function cellsOf(values: Values, types: Types | undefined): Values {
  if (types === undefined) return values
  let cells: (string | null)[] | undefined
  for (let index = 0; index < types.length; index++) {
    const type = types[index]
    if (type !== 'number' && type !== 'float') continue
    const text = values[index] ?? null
    if (text === null) continue
    const cell = isNoNumber(text) ? null : type === 'float' ? floatText(text) : text
    if (cell === text) continue
    cells ??= [...values]
    cells[index] = cell
  }
  return cells ?? values
}

function isNoNumber(text: string): boolean {
  return text === 'NaN' || text === 'Infinity' || text === '-Infinity'
}

// So many tell every number of 32 bits from its neighbours.
const floatDigits = 9

/** The shortest text that is the same number of 32 bits: 19.9, and not 19.899999618530273. */
function floatText(text: string): string {
  const value = Number(text)
  const float = Math.fround(value)
  for (let digits = 1; digits < floatDigits; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === float) return String(short)
  }
  return String(Number(value.toPrecision(floatDigits)))
}

/** What a cell is in PostHog; the text itself where its type would lose something of it. */
export function declaredValue(text: string, type: DeclaredType): unknown {
  switch (type) {
    case 'integer': {
      const value = Number(text)
      return Number.isSafeInteger(value) ? value : text
    }
    case 'number':
    case 'float': {
      const value = Number(text)
      return Number.isFinite(value) ? value : text
    }
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'json':
      return structureIn(text, false) ?? storableText(text)
    case 'json_of_floats':
      return structureIn(text, true) ?? storableText(text)
  }
}

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|[[{\]}]/gs

// Deeper ones stay text: what reads and writes JSON goes a level deeper for each.
const maxDepth = 100

/** Null where the text is no JSON, or too deep. */
function structureIn(text: string, hasFloats: boolean): unknown {
  let depth = 0
  let deepest = 0
  const exact = text.replace(tokens, (token) => {
    switch (token) {
      case '[':
      case '{':
        deepest = Math.max(deepest, ++depth)
        return token
      case ']':
      case '}':
        depth--
        return token
    }
    if (token.startsWith('"')) return isPlain.test(token) ? token : storableToken(token)
    if (!isExact(token)) return `"${token}"`
    return hasFloats && isFloat(token) ? floatText(token) : token
  })
  if (deepest > maxDepth) return null
  try {
    return JSON.parse(exact)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/** Whether a number has 32 bits, of which hardly any double has all: one of 2^29. */
function isFloat(token: string): boolean {
  const value = Number(token)
  return !/^-?\d+$/.test(token) && Math.fround(value) === value
}

const isPlain = /^[^\\\0\uD800-\uDFFF]*$/

function storableToken(token: string): string {
  try {
    return JSON.stringify(storableText(String(JSON.parse(token))))
  } catch (error) {
    if (error instanceof SyntaxError) return token
    throw error
  }
}

// So many significant digits every double keeps.
const keptDigits = 15

/** Whether a double is the number to the last digit. */
function isExact(token: string): boolean {
  const value = Number(token)
  if (!Number.isFinite(value)) return false
  if (/^-?\d+$/.test(token)) return Number.isSafeInteger(value)
  const digits = token
    .replace(/[eE].*$/, '')
    .replaceAll(/[-.]/g, '')
    .replace(/^0+/, '')
  return digits.length <= keptDigits || String(value) === token
}
