import type { DeclaredType } from '@heapferry/domain'
import { UnusableFile } from '../../unusable-file.ts'
import {
  bytesText,
  dateText,
  decimalText,
  exactColumns,
  idNumberText,
  jsonNumber,
  type TimeUnit,
  timestampText,
  timeText,
  unscaledOf,
  uuidText,
} from '../cell-text.ts'
import { type AvroBytes, Undecodable, type ValueKind } from './avro-bytes.ts'

/** A column of a file, and how its cells are read. */
export interface CompiledColumn {
  /** Lower case. */
  name: string
  nested: boolean
  /** `mixed`: each value is what its branch of a union is. */
  kind: ValueKind | 'mixed'
  /** A cell's text; null where it holds nothing. */
  cell(from: AvroBytes): string | null
}

/** Nothing where each value is what its branch is. */
export function declaredType(kind: CompiledColumn['kind']): DeclaredType | undefined {
  return kind === 'text' || kind === 'nothing' || kind === 'mixed' ? undefined : kind
}

/** A type of the schema. */
interface ValueType extends Omit<CompiledColumn, 'name'> {
  /** Numbers of 32 bits are in it. */
  floats?: boolean
  /** The value as JSON, inside of a nested one. */
  json(from: AvroBytes): string
}

interface Field {
  name: string
  type: ValueType
}

/** Types that have a name, which the schema may refer to, also inside of themselves. */
type NamedTypes = Map<string, ValueType>

type Schema = Record<string, unknown>

// Deeper than any table; a schema is text from outside, and reading it must end.
const maxSchemaDepth = 100
// BigQuery's widest decimal takes 32 bytes and 38 digits behind the point. Longer ones would only cost time.
const maxDecimalBytes = 64
const maxDecimalScale = 100

// A table may have ten thousand files, one after another and all with the same schema.
let latest: { json: string; columns: readonly CompiledColumn[] } | undefined

/**
 * Makes of an Avro schema what reads its rows straight into text. Why not a library: avsc 5.7 refuses schemas with
 * defaults that Java writes and reads, takes a union of int and long for ambiguous, loses a field `__proto__`, and goes
 * on without end where damaged bytes claim a long array.
 *
 * @throws UnusableFile when the schema is none of a table
 */
export function compileSchema(json: string): readonly CompiledColumn[] {
  if (latest?.json !== json) latest = { json, columns: compiled(json) }
  return latest.columns
}

function compiled(json: string): CompiledColumn[] {
  const schema = parseJson(json)
  if (!isObject(schema) || !Array.isArray(schema.fields)) {
    throw new UnusableFile(
      'its Avro schema is not that of a record',
      'Only files of rows with columns can be migrated.',
    )
  }
  const named: NamedTypes = new Map()
  let fields: Field[] = []
  const make = (namespace: string): ValueType => {
    fields = fieldsOf(schema, named, namespace, 0)
    return recordOf(fields)
  }
  // A record without a name is none by the specification; its fields can be read all the same.
  if (typeof schema.name === 'string') declared(schema, named, '', make)
  else make('')
  return fields.map(({ name, type }) => columnOf(name.toLowerCase(), type))
}

/** Its type may be one that is declared further on: what it is, is asked for last. */
function columnOf(name: string, type: ValueType): CompiledColumn {
  const { kind } = type
  if (!exactColumns.has(name) || !['number', 'float', 'mixed'].includes(kind)) return { ...type, name }
  return {
    ...type,
    name,
    kind: 'text',
    cell(from) {
      const text = type.cell(from)
      const read = kind === 'mixed' ? from.branch : kind
      return text !== null && (read === 'number' || read === 'float')
        ? idNumberText(Number(text), read === 'float')
        : text
    },
  }
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new UnusableFile('its Avro schema is not valid JSON', writeAgain, { cause })
  }
}

const writeAgain = 'The file is damaged or was written wrongly: export the table again.'

function compile(schema: unknown, named: NamedTypes, namespace: string, depth: number): ValueType {
  if (depth > maxSchemaDepth) throw unreadable(`it is more than ${maxSchemaDepth} levels deep`)
  if (Array.isArray(schema)) return unionOf(schema.map((branch) => compile(branch, named, namespace, depth + 1)))
  if (typeof schema === 'string') return primitiveOf(schema, {}) ?? referenced(schema, named, namespace)
  if (!isObject(schema)) throw unreadable('a type is neither a name nor an object')

  const { type } = schema
  switch (type) {
    case 'record':
    case 'error':
      return declared(schema, named, namespace, (space) => recordOf(fieldsOf(schema, named, space, depth + 1)))
    case 'enum':
      return declared(schema, named, namespace, () => enumOf(schema))
    case 'fixed':
      return declared(schema, named, namespace, () => fixedOf(schema))
    case 'array':
      return arrayOf(compile(schema.items, named, namespace, depth + 1))
    case 'map':
      return mapOf(compile(schema.values, named, namespace, depth + 1))
    default:
      // `{"type": {"type": "long"}}` is as good as `{"type": "long"}`.
      if (typeof type !== 'string') return compile(type, named, namespace, depth + 1)
      return primitiveOf(type, schema) ?? referenced(type, named, namespace)
  }
}

function fieldsOf(schema: Schema, named: NamedTypes, namespace: string, depth: number): Field[] {
  if (!Array.isArray(schema.fields)) throw unreadable('a record has no fields')
  return schema.fields.map((field: unknown): Field => {
    if (!isObject(field) || typeof field.name !== 'string') throw unreadable('a field has no name')
    return { name: field.name, type: compile(field.type, named, namespace, depth) }
  })
}

function declared(
  schema: Schema,
  named: NamedTypes,
  outerNamespace: string,
  make: (namespace: string) => ValueType,
): ValueType {
  const { fullName, namespace } = fullNameOf(schema, outerNamespace)
  // Known before its fields are, which may refer to it.
  const type: ValueType = { cell: notYet, json: notYet, nested: true, kind: 'json' }
  named.set(fullName, type)
  return Object.assign(type, make(namespace))
}

function notYet(): never {
  throw new Error('a type of an Avro schema is read before it is compiled')
}

function fullNameOf(schema: Schema, outerNamespace: string): { fullName: string; namespace: string } {
  const { name } = schema
  if (typeof name !== 'string') throw unreadable(`a type of kind ${String(schema.type)} has no name`)
  const lastDot = name.lastIndexOf('.')
  if (lastDot !== -1) return { fullName: name, namespace: name.slice(0, lastDot) }
  const namespace = typeof schema.namespace === 'string' ? schema.namespace : outerNamespace
  return { fullName: namespace === '' ? name : `${namespace}.${name}`, namespace }
}

function referenced(name: string, named: NamedTypes, namespace: string): ValueType {
  const type = named.get(name.includes('.') || namespace === '' ? name : `${namespace}.${name}`) ?? named.get(name)
  if (!type) throw unreadable(`it names a type "${name.slice(0, 80)}" that it does not declare`)
  return type
}

function unreadable(fault: string): UnusableFile {
  return new UnusableFile(`its Avro schema cannot be read: ${fault}`, writeAgain)
}

/** @param schema holds what the type is annotated with */
function primitiveOf(type: string, schema: Schema): ValueType | null {
  switch (type) {
    case 'null':
      return { cell: () => null, json: () => 'null', nested: false, kind: 'nothing' }
    case 'boolean':
      return unquoted((from) => (from.byte() === 0 ? 'false' : 'true'), 'boolean')
    case 'int':
    case 'long':
      return integerOf(schema.logicalType)
    case 'float':
      return numberOf((from) => from.float(), 'float')
    case 'double':
      return numberOf((from) => from.double(), 'number')
    case 'bytes': {
      const scale = decimalScale(schema)
      return scale === null ? quoted((from) => bytesText(from.bytes())) : decimalOf((from) => from.bytes(), scale)
    }
    case 'string':
      return quoted((from) => from.string())
    default:
      return null
  }
}

function unquoted(read: (from: AvroBytes) => string, kind: ValueKind): ValueType {
  return { cell: read, json: read, nested: false, kind }
}

function quoted(read: (from: AvroBytes) => string): ValueType {
  return { cell: (from) => read(from) || null, json: (from) => JSON.stringify(read(from)), nested: false, kind: 'text' }
}

/** An annotation that is not known, or not of this type, says nothing. */
function integerOf(logicalType: unknown): ValueType {
  switch (logicalType) {
    case 'date':
      return quoted((from) => dateText(Number(from.long())))
    case 'time-millis':
      return timeOf('millis')
    case 'time-micros':
      return timeOf('micros')
    case 'time-nanos':
      return timeOf('nanos')
    case 'timestamp-millis':
    case 'local-timestamp-millis':
      return timestampOf('millis')
    case 'timestamp-micros':
    case 'local-timestamp-micros':
      return timestampOf('micros')
    case 'timestamp-nanos':
    case 'local-timestamp-nanos':
      return timestampOf('nanos')
    default:
      return unquoted((from) => String(from.long()), 'integer')
  }
}

function timeOf(unit: TimeUnit): ValueType {
  return quoted((from) => timeText(from.long(), unit))
}

function timestampOf(unit: TimeUnit): ValueType {
  return quoted((from) => timestampText(from.long(), unit))
}

function numberOf(read: (from: AvroBytes) => number, kind: ValueKind): ValueType {
  return {
    cell: (from) => String(read(from)),
    json: (from) => jsonNumber(read(from)),
    nested: false,
    kind,
    floats: kind === 'float',
  }
}

/** Null where the type is no decimal. */
function decimalScale({ logicalType, scale = 0 }: Schema): number | null {
  if (logicalType !== 'decimal' || typeof scale !== 'number' || !Number.isInteger(scale)) return null
  return scale >= 0 && scale <= maxDecimalScale ? scale : null
}

function decimalOf(read: (from: AvroBytes) => Buffer, scale: number): ValueType {
  return unquoted((from) => {
    const bytes = read(from)
    if (bytes.length <= maxDecimalBytes) return decimalText(unscaledOf(bytes), scale)
    from.fault = `a decimal has ${bytes.length} bytes`
    return ''
  }, 'text')
}

function enumOf({ symbols }: Schema): ValueType {
  if (!Array.isArray(symbols)) throw unreadable('an enum has no symbols')
  return quoted((from) => {
    const symbol: unknown = symbols[Number(from.long())]
    if (typeof symbol !== 'string') throw new Undecodable('an enum has no such symbol')
    return symbol
  })
}

function fixedOf(schema: Schema): ValueType {
  const { size, logicalType } = schema
  if (typeof size !== 'number' || !Number.isInteger(size) || size < 0) throw unreadable('a fixed type has no size')
  const scale = decimalScale(schema)
  if (scale !== null) return decimalOf((from) => from.fixed(size), scale)
  if (logicalType === 'uuid' && size === 16) return quoted((from) => uuidText(from.fixed(size)))
  return quoted((from) => bytesText(from.fixed(size)))
}

function unionOf(branches: readonly ValueType[]): ValueType {
  const branchOf = (from: AvroBytes): ValueType => {
    const branch = branches[Number(from.long())]
    if (!branch) throw new Undecodable('a union has no such branch')
    return branch
  }
  const kinds = new Set(branches.map(({ kind }) => kind).filter((kind) => kind !== 'nothing'))
  const [kind = 'nothing', ...others] = kinds
  return {
    cell: (from) => {
      const branch = branchOf(from)
      const text = branch.cell(from)
      if (branch.kind !== 'mixed') from.branch = branch.kind
      return text
    },
    kind: others.length > 0 ? 'mixed' : kind,
    json: (from) => branchOf(from).json(from),
    floats: branches.some(({ floats }) => floats),
    nested: branches.some(({ nested }) => nested),
  }
}

function arrayOf(items: ValueType): ValueType {
  return nestedOf([items], (from) => `[${from.items(() => items.json(from)).join(',')}]`)
}

function mapOf(values: ValueType): ValueType {
  return nestedOf([values], (from) => {
    const entries = from.items(() => `${JSON.stringify(from.string())}:${values.json(from)}`)
    return `{${entries.join(',')}}`
  })
}

function recordOf(fields: readonly Field[]): ValueType {
  const named = fields.map(({ name, type }) => ({ key: `${JSON.stringify(name)}:`, type }))
  const types = fields.map(({ type }) => type)
  return nestedOf(types, (from) => `{${named.map(({ key, type }) => key + type.json(from)).join(',')}}`)
}

function nestedOf(types: readonly ValueType[], read: (from: AvroBytes) => string): ValueType {
  const json = (from: AvroBytes): string => from.nested(() => read(from))
  const floats = types.some((type) => type.floats)
  return { cell: json, json, nested: true, kind: floats ? 'json_of_floats' : 'json', floats }
}

function isObject(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
