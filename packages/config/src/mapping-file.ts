import { readFileSync } from 'node:fs'
import { defaultMapping, Mapping, nearestName, OperatorError } from '@heapferry/domain'
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  type YAMLMap,
} from 'yaml'
import type { z } from 'zod'
import { type JsonSchema, keysOf, mappingSchema, schemaUnder } from './mapping-schema.ts'

/**
 * Reads a mapping file (YAML, of which JSON is a part).
 * @throws OperatorError that names every fault with its line and column
 */
export function loadMapping(file: string | undefined): Mapping {
  if (file === undefined) return defaultMapping
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new OperatorError(`The mapping file ${file} cannot be read`, 'Check the path that was given.', { cause })
  }
  const parsed = parseMapping(text)
  if (parsed.kind === 'mapping') return parsed.mapping
  const faults = parsed.faults.map(({ line, column, text: what }) => `line ${line}, column ${column}: ${what}`)
  throw new OperatorError(
    [`${file} is not a mapping file:`, ...faults.map((fault) => `  ${fault}`)],
    'docs/mapping.md explains every key; `heapferry mapping init SOURCE` writes a file to begin with.',
  )
}

interface MappingFault {
  line: number
  column: number
  text: string
}

/** Every fault is found in one go, in the order of the text. */
function parseMapping(
  text: string,
): { kind: 'mapping'; mapping: Mapping } | { kind: 'faulty'; faults: MappingFault[] } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false })
  const { value: read, faults: ofNodes } = valueOfDocument(document)
  const broken = [
    ...[...document.errors, ...document.warnings].map(({ pos, code, message }) => ({
      at: pos[0],
      text: code === 'MULTIPLE_DOCS' ? 'a second document begins here; expected one' : message,
    })),
    ...ofNodes,
  ]
  if (broken.length > 0) return { kind: 'faulty', faults: placed(broken, lines) }

  const schema = mappingSchema()
  const value = withSections(read ?? {}, schema)
  const parsed = Mapping.safeParse(value)
  if (parsed.success) return { kind: 'mapping', mapping: parsed.data }
  const faults = parsed.error.issues.flatMap((issue) => faultsOf(issue, [], value, schema))
  const offsetOf = placesIn(document)
  return {
    kind: 'faulty',
    faults: placed(
      faults.map(({ path, of, text: what }) => ({
        at: offsetOf(path, of),
        text: `${path.map(String).join('.') || 'the file'}: ${what}`,
      })),
      lines,
    ),
  }
}

function placed(faults: readonly { at: number; text: string }[], lines: LineCounter): MappingFault[] {
  return faults
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, text }) => {
      const { line, col } = lines.linePos(at)
      return { line, column: col, text }
    })
}

// Rules of one anchor for ten thousand tables are fine. A few lines of aliases of aliases can stand for billions.
const mostValues = 1_000_000

interface NodeValue {
  value: unknown
  /** How many values it is made of. */
  count: number
}

/**
 * The value of a document, and what YAML allows and no mapping can have: an alias that leads nowhere or into itself, aliases
 * that stand for more than any mapping holds, and the one key that zod passes over. The library's own ways to look for an
 * alias, and for a key that stands twice, take a time that grows with the square of their number.
 */
function valueOfDocument(document: Document): { value: unknown; faults: { at: number; text: string }[] } {
  const faults: { at: number; text: string }[] = []
  /** By anchor; null while its node is being read. */
  const anchored = new Map<string, NodeValue | null>()
  let isTooLarge = false

  function read(node: unknown): NodeValue {
    if (!isNode(node)) return { value: null, count: 0 }
    const at = node.range?.[0] ?? 0
    if (isAlias(node)) {
      const known = anchored.get(node.source)
      if (known === undefined) faults.push({ at, text: `*${node.source} is no anchor` })
      if (known === null) faults.push({ at, text: `*${node.source} stands inside of what it stands for` })
      return known ?? { value: null, count: 0 }
    }
    const { anchor } = node
    if (anchor !== undefined) anchored.set(anchor, null)
    const found = isMap(node) ? readMap(node) : isSeq(node) ? readList(node.items) : { value: scalarOf(node), count: 1 }
    if (anchor !== undefined) anchored.set(anchor, found)
    if (found.count > mostValues && !isTooLarge) {
      isTooLarge = true
      faults.push({ at, text: `with its aliases it stands for more than ${mostValues.toLocaleString('en')} values` })
    }
    return found
  }

  function readList(items: readonly unknown[]): NodeValue {
    const all = items.map(read)
    return { value: all.map(({ value }) => value), count: all.reduce((sum, { count }) => sum + count, 1) }
  }

  function readMap({ items }: YAMLMap): NodeValue {
    const value: Record<string, unknown> = {}
    let sum = 1
    for (const pair of items) {
      const key = keyOf(pair)
      const at = isNode(pair.key) ? (pair.key.range?.[0] ?? 0) : 0
      if (Object.hasOwn(value, key)) faults.push({ at, text: 'Map keys must be unique' })
      const inner = read(pair.value)
      if (key === '__proto__') faults.push({ at, text: '__proto__ cannot be a key' })
      else value[key] = inner.value
      sum += 1 + inner.count
    }
    return { value, count: sum }
  }

  return { value: read(document.contents).value, faults }
}

function scalarOf(node: unknown): unknown {
  return isScalar(node) ? node.value : null
}

function keyOf({ key }: Pair): string {
  if (!isScalar(key)) return isNode(key) ? key.toString() : ''
  const { value } = key
  if (typeof value === 'string') return value
  // `null: …` is the key of that name, and no key that is nothing.
  if (value === null) return key.source === 'null' ? 'null' : ''
  return JSON.stringify(value)
}

/** A section whose keys are all commented out is an empty one. Anywhere else, nothing is a fault. */
function withSections(value: unknown, schema: JsonSchema | undefined): unknown {
  if (value === null) return schema?.type === 'object' ? {} : null
  if (typeof value !== 'object' || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, withSections(inner, schemaUnder(schema, key))]),
  )
}

type Issue = z.core.$ZodIssue

interface FaultAtPath {
  path: PropertyKey[]
  /** What of the path's last part is faulty. */
  of: 'key' | 'value'
  text: string
}

/** @param value what stands at the start of the path */
function faultsOf(issue: Issue, before: readonly PropertyKey[], value: unknown, schema: JsonSchema): FaultAtPath[] {
  const path = [...before, ...issue.path]
  const found = issue.path.reduce<unknown>((outer, key) => (isObject(outer) ? outer[key] : undefined), value)
  const faulty = (text: string): FaultAtPath[] => [{ path, of: 'value', text: `${text}, got ${gotText(found)}` }]
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = keysOf(path.reduce<JsonSchema | undefined>(schemaUnder, schema))
      return issue.keys.map((key) => ({ path: [...path, key], of: 'key', text: unknownKey(key, known) }))
    }
    case 'invalid_key':
      return issue.issues.map(({ message }) => ({ path, of: 'key', text: message }))
    case 'invalid_union': {
      // What is wrong inside of a value says more than that it is none of the kinds.
      const inside = issue.errors.find((issues) => issues.some((one) => one.path.length > 0 || isOfKeys(one)))
      return inside?.flatMap((one) => faultsOf(one, path, found, schema)) ?? faulty(issue.message)
    }
    case 'invalid_type':
      return issue.expected === 'string' && (typeof found === 'number' || typeof found === 'boolean')
        ? [{ path, of: 'value', text: `expected text, got ${gotText(found)}: put it in quotes` }]
        : faulty(`expected ${typeWords.get(issue.expected) ?? issue.expected}`)
    case 'invalid_value':
      return faulty(`expected ${listed(issue.values.map(String))}`)
    case 'too_small':
    case 'too_big':
    case 'invalid_format':
    case 'not_multiple_of':
    case 'invalid_element':
    case 'custom':
      return issue.message.startsWith('expected') ? faulty(issue.message) : [{ path, of: 'key', text: issue.message }]
  }
}

function isOfKeys({ code }: Issue): boolean {
  return code === 'unrecognized_keys' || code === 'custom'
}

const typeWords: ReadonlyMap<string, string> = new Map([
  ['string', 'text'],
  ['boolean', 'true or false'],
  ['array', 'a list'],
  ['object', 'keys with values'],
  ['record', 'keys with values'],
])

function unknownKey(key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known)
  return nearest === undefined ? `unknown key; expected ${listed(known)}` : `unknown key; did you mean ${nearest}?`
}

const gotChars = 40

function gotText(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return 'keys with values'
  const text = JSON.stringify(value)
  return text.length > gotChars ? `${text.slice(0, gotChars)}…` : text
}

/** `a, b or c` */
function listed(words: readonly string[]): string {
  const shown = words.map((word) => (/^\w+$/.test(word) ? word : quoted(word)))
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} or ${shown.at(-1)}`
}

function quoted(word: string): string {
  return word.includes("'") ? `"${word}"` : `'${word}'`
}

function isObject(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null
}

/** Where in the text the key or value at a path stands, or what it should stand in. */
function placesIn(document: Document): (path: readonly PropertyKey[], of: 'key' | 'value') => number {
  const pairs = new Map<YAMLMap, Map<PropertyKey, YAMLMap['items'][number]>>()

  function pairsOf(map: YAMLMap): Map<PropertyKey, YAMLMap['items'][number]> {
    const known = pairs.get(map)
    if (known) return known
    const made = new Map(map.items.map((pair) => [keyOf(pair), pair]))
    pairs.set(map, made)
    return made
  }

  return (path, of) => {
    let offset = 0
    let node: unknown = document.contents
    for (const [depth, part] of path.entries()) {
      if (isAlias(node)) node = node.resolve(document)
      const pair = isMap(node) ? pairsOf(node).get(part) : undefined
      if (isNode(pair?.key)) offset = pair.key.range?.[0] ?? offset
      node = pair ? pair.value : isSeq(node) ? node.items[Number(part)] : undefined
      if (isNode(node) && (of === 'value' || depth < path.length - 1)) offset = node.range?.[0] ?? offset
    }
    return offset
  }
}
