import { readFileSync } from 'node:fs'
import { defaultMapping, Mapping, nearestName, OperatorError } from '@heapferry/domain'
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml'
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
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const broken = [
    ...[...document.errors, ...document.warnings].map(({ pos, code, message }) => ({
      at: pos[0],
      text: code === 'MULTIPLE_DOCS' ? 'a second document begins here; expected one' : message,
    })),
    ...unusableNodes(document),
  ]
  if (broken.length > 0) return { kind: 'faulty', faults: placed(broken, lines) }

  nameNullKeys(document)
  const schema = mappingSchema()
  const value = withSections(document.toJS({ maxAliasCount }) ?? {}, schema)
  const parsed = Mapping.safeParse(value)
  if (parsed.success) return { kind: 'mapping', mapping: parsed.data }
  const faults = parsed.error.issues.flatMap((issue) => faultsOf(issue, [], value, schema))
  return {
    kind: 'faulty',
    faults: placed(
      faults.map(({ path, of, text: what }) => ({
        at: offsetOf(document, path, of),
        text: `${path.map(String).join('.') || 'the file'}: ${what}`,
      })),
      lines,
    ),
  }
}

/** `null: …` is the key of that name, and no key that is nothing. */
function nameNullKeys(document: Document): void {
  visit(document, {
    Pair(_, { key }) {
      if (isScalar(key) && key.value === null && key.source === 'null') key.value = 'null'
    },
  })
}

function placed(faults: readonly { at: number; text: string }[], lines: LineCounter): MappingFault[] {
  return faults
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, text }) => {
      const { line, col } = lines.linePos(at)
      return { line, column: col, text }
    })
}

// One anchor for the rules of a thousand tables is fine.
const maxAliasCount = 100_000

/** What YAML allows and no mapping can have: an alias that leads nowhere, and the one key that zod passes over. */
function unusableNodes(document: Document): { at: number; text: string }[] {
  const found: { at: number; text: string }[] = []
  visit(document, {
    Alias(_, alias) {
      if (!alias.resolve(document)) found.push({ at: alias.range?.[0] ?? 0, text: `*${alias.source} is no anchor` })
    },
    Pair(_, { key }) {
      if (isScalar(key) && key.value === '__proto__')
        found.push({ at: key.range?.[0] ?? 0, text: '__proto__ cannot be a key' })
    },
  })
  return found
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
function offsetOf(document: Document, path: readonly PropertyKey[], of: 'key' | 'value'): number {
  let offset = 0
  let node: unknown = document.contents
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document)
    const pair = isMap(node)
      ? node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === part)
      : undefined
    if (isNode(pair?.key)) offset = pair.key.range?.[0] ?? offset
    node = pair ? pair.value : isSeq(node) ? node.items[Number(part)] : undefined
    if (isNode(node) && (of === 'value' || depth < path.length - 1)) offset = node.range?.[0] ?? offset
  }
  return offset
}
