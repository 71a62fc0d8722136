import { parseHeapDate } from './heap-time.ts'

export type Cast = 'number' | 'boolean' | 'date'

/** The text as what the mapping takes it for; undefined where it cannot be read so without a loss. */
export function castText(as: Cast, text: string): number | boolean | string | undefined {
  const trimmed = text.trim()
  switch (as) {
    case 'number':
      return numberIn(trimmed)
    case 'boolean':
      return booleans.get(trimmed.toLowerCase())
    case 'date': {
      const ms = parseHeapDate(trimmed)
      return ms === undefined || Math.abs(ms) > latestMs ? undefined : new Date(ms).toISOString()
    }
  }
}

function numberIn(text: string): number | undefined {
  if (!/^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?$/.test(text)) return undefined
  const number = Number(text)
  // Whole numbers beyond that are ids, and would lose their last digits.
  return Math.abs(number) <= Number.MAX_SAFE_INTEGER ? number : undefined
}

/** Whether a text can be nothing but a number, a time or a truth value. */
export function isTypedText(text: string): boolean {
  const trimmed = text.trim()
  return (
    /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?$/.test(trimmed) ||
    castText('date', trimmed) !== undefined ||
    /^(?:true|false)$/i.test(trimmed)
  )
}

/** As warehouses write them. */
const booleans: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['t', true],
  ['yes', true],
  ['1', true],
  ['false', false],
  ['f', false],
  ['no', false],
  ['0', false],
])

/** JavaScript knows no later dates. */
const latestMs = 8.64e15
