import { isUtf8 } from 'node:buffer'
import type { ParquetParsers, ParquetType, SchemaElement, SchemaTree } from 'hyparquet'
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js'
import { isListLike, isMapLike } from 'hyparquet/src/schema.js'
import type { DeclaredType } from '@heapferry/domain'
import {
  bytesText,
  dateText,
  decimalText,
  exactColumns,
  idNumberText,
  timestampText,
  timeText,
  unscaledOf,
  uuidText,
} from '../cell-text.ts'

/** What a row has in a column: text, nothing, or what cannot be read. */
export type ParquetCell = string | null | Unreadable

interface Unreadable {
  /** Why, for people. */
  detail: string
}

// What stands for a text that is none.
const notText = Symbol('not UTF-8')

/** For hyparquet: exact where its own forms cut digits off. */
export const exactParsers: ParquetParsers = {
  ...DEFAULT_PARSERS,
  timestampFromMilliseconds: (value) => timestampText(value, 'millis'),
  timestampFromMicroseconds: (value) => timestampText(value, 'micros'),
  timestampFromNanoseconds: (value) => timestampText(value, 'nanos'),
  dateFromDays: dateText,
  stringFromBytes: utf8Text,
  jsonFromBytes: utf8Text,
  uuidFromBytes: (bytes: Uint8Array | undefined) => bytes && uuidText(bytes),
}

function utf8Text(bytes: Uint8Array | undefined): string | symbol | undefined {
  if (bytes === undefined) return undefined
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  return text.includes('\uFFFD') && !isUtf8(bytes) ? notText : text
}

/** Annotations that hyparquet would cut digits off for, cannot do, or looks for in their old form alone. */
export function simplify(element: SchemaElement): void {
  const { converted_type, logical_type } = element
  if (isDecimal(element) || converted_type === 'BSON' || converted_type === 'INTERVAL') {
    delete element.converted_type
    delete element.logical_type
  } else if (logical_type?.type === 'DATE') {
    element.converted_type = 'DATE'
  }
}

function isDecimal({ converted_type, logical_type }: SchemaElement): boolean {
  return converted_type === 'DECIMAL' || logical_type?.type === 'DECIMAL'
}

/** What a column is, of an element before it is simplified; nothing where it is text. */
export function declaredTypeOf(node: SchemaTree, nested: boolean): DeclaredType | undefined {
  const { element } = node
  const { type, converted_type, logical_type } = element
  if (isIdNumber(element)) return undefined
  if (nested) return hasFloats(node) ? 'json_of_floats' : 'json'
  if (converted_type === 'JSON' || logical_type?.type === 'JSON') return 'json'
  if (logical_type?.type === 'FLOAT16') return 'number'
  if (type === 'INT32' || type === 'INT64') {
    const isWhole =
      logical_type === undefined
        ? !/^(?:DATE|TIME|DECIMAL)/.test(converted_type ?? '')
        : logical_type.type === 'INTEGER'
    return isWhole ? 'integer' : undefined
  }
  return type && declared.get(type)
}

function hasFloats({ element, children }: SchemaTree): boolean {
  return element.type === 'FLOAT' || children.some(hasFloats)
}

const declared: ReadonlyMap<ParquetType, DeclaredType> = new Map([
  ['BOOLEAN', 'boolean'],
  ['FLOAT', 'float'],
  ['DOUBLE', 'number'],
])

function isIdNumber({ name, type, repetition_type }: SchemaElement): boolean {
  return (
    exactColumns.has(name.toLowerCase()) && (type === 'DOUBLE' || type === 'FLOAT') && repetition_type !== 'REPEATED'
  )
}

/** What to make of the values of a column, as hyparquet hands them out with the parsers above. */
export function cellOf(element: SchemaElement): (value: unknown) => ParquetCell {
  if (isIdNumber(element)) {
    const isFloat = element.type === 'FLOAT'
    return (value) => (typeof value === 'number' ? idNumberText(value, isFloat) : null)
  }
  const text = textOf({ ...element })
  const broken = { detail: `its column "${element.name}" has text that is not valid UTF-8` }
  return (value) => {
    if (value === null || value === undefined) return null
    return value === notText ? broken : text(value) || null
  }
}

/** Of an element before it is simplified. */
function textOf(element: SchemaElement): (value: unknown) => string {
  const logical = element.logical_type
  if (isDecimal(element)) {
    const scale = element.scale ?? (logical?.type === 'DECIMAL' ? logical.scale : 0)
    return (value) => {
      if (value instanceof Uint8Array) return decimalText(unscaledOf(value), scale)
      return typeof value === 'number' || typeof value === 'bigint'
        ? decimalText(BigInt(value), scale)
        : plainText(value)
    }
  }
  if (logical?.type === 'TIME' || element.converted_type?.startsWith('TIME_')) {
    const unit =
      element.converted_type === 'TIME_MILLIS' || (logical?.type === 'TIME' && logical.unit === 'MILLIS')
        ? 'millis'
        : logical?.type === 'TIME' && logical.unit === 'NANOS'
          ? 'nanos'
          : 'micros'
    return (value) =>
      typeof value === 'number' || typeof value === 'bigint' ? timeText(value, unit) : plainText(value)
  }
  return plainText
}

function plainText(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  return value instanceof Uint8Array ? bytesText(value) : anyJson(value)
}

/** The same of a nested column. Throws where it holds text that is not valid UTF-8. */
export function jsonCellOf(node: SchemaTree): (value: unknown) => ParquetCell {
  const json = jsonOf(node)
  return (value) => (value === null || value === undefined ? null : json(value))
}

/**
 * Lists, maps and records as compact JSON. Numbers and decimals stay numbers with all their digits, also those that
 * JSON's readers would round.
 */
function jsonOf(node: SchemaTree): (value: unknown) => string {
  const json = onceJsonOf(node)
  return node.element.repetition_type === 'REPEATED' ? listOf(json) : json
}

/** Of one item, where the node is a list without the annotation of one. */
function onceJsonOf(node: SchemaTree): (value: unknown) => string {
  const [child] = node.children
  if (!child || node.element.logical_type?.type === 'VARIANT') return leafJsonOf(node.element)
  if (isListLike(node)) {
    const [item] = child.children
    return listOf(item && child.children.length === 1 ? jsonOf(item) : onceJsonOf(child))
  }
  const [, value] = child.children
  const mapped = isMapLike(node) && value ? jsonOf(value) : null
  const byName = new Map(node.children.map((member) => [member.element.name, jsonOf(member)]))
  return orNull((record) => {
    const members = Object.entries(Object(record)).map(([key, inner]) => {
      const json = mapped ?? byName.get(key) ?? anyJson
      return `${JSON.stringify(key)}:${json(inner)}`
    })
    return `{${members.join(',')}}`
  })
}

function listOf(json: (value: unknown) => string): (value: unknown) => string {
  return orNull((items) => `[${Array.from(Object(items), json).join(',')}]`)
}

function leafJsonOf(element: SchemaElement): (value: unknown) => string {
  const text = textOf({ ...element })
  if (isDecimal(element)) return orNull(text)
  return orNull(text === plainText ? anyJson : (value) => JSON.stringify(text(value)))
}

function orNull(json: (value: unknown) => string): (value: unknown) => string {
  return (value) => (value === null || value === undefined ? 'null' : json(value))
}

function anyJson(value: unknown): string {
  if (value === notText) throw new Error('it has text that is not valid UTF-8')
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Uint8Array) return JSON.stringify(bytesText(value))
  if (Array.isArray(value)) return `[${value.map(anyJson).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([key, inner]) => `${JSON.stringify(key)}:${anyJson(inner)}`)
      .join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}
