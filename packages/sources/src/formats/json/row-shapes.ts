import type { Columns, DeclaredType, Types } from '@heapferry/domain'
import { LosslessNumber, stringify } from 'lossless-json'
import { isObject, type RowObject } from './parse-object.ts'

export interface FlatRow {
  kind: 'row'
  object: RowObject
  columns: Columns
  values: (string | null)[]
  types: Types | undefined
  /** It joins a user id to an identity, and says nothing of what somebody did. */
  isIdentify: boolean
}

/**
 * Makes rows of objects. Rows with the same keys in the same order share one array of columns, because a converter is
 * compiled for each such array.
 */
export class RowShapes {
  readonly #idIsUserId: boolean
  readonly #fileColumns: Columns
  readonly #renamed: ReadonlyMap<string, string>
  #root = new Keys(null, null, false)
  #count = 0

  /**
   * @param idIsUserId in every row a whole number in `id` is the user's, if there is no `user_id`
   * @param fileColumns every row has them, if with nothing in them: writers leave out what is null
   * @param renamed columns that the mapping calls otherwise, by their keys in lower case
   */
  constructor({
    idIsUserId,
    fileColumns = [],
    renamed = {},
  }: {
    idIsUserId: boolean
    fileColumns?: Columns
    renamed?: Readonly<Record<string, string>>
  }) {
    this.#idIsUserId = idIsUserId
    this.#fileColumns = fileColumns
    this.#renamed = new Map(Object.entries(renamed))
  }

  /** The object's keys, behind them those of its `properties`, all in lower case. */
  flatten(object: RowObject): FlatRow {
    const values: (string | null)[] = []
    const types: (DeclaredType | undefined)[] = []
    let keys = this.#root
    let properties: RowObject | undefined
    for (const key of Object.keys(object)) {
      const value = object[key]
      if (key === 'properties' && isObject(value)) {
        properties = value
        continue
      }
      keys = keys.next.get(key) ?? this.#added(keys, key)
      const type = typeOf(value)
      if (type !== undefined) types[values.length] = type
      values.push(textOf(value))
    }
    if (properties) {
      keys = keys.properties ??= new Keys(keys, null, true)
      for (const key of Object.keys(properties)) {
        keys = keys.next.get(key) ?? this.#added(keys, key)
        const type = typeOf(properties[key])
        if (type !== undefined) types[values.length] = type
        values.push(textOf(properties[key]))
      }
    }
    keys.shape ??= shapeOf(keys, this.#fileColumns)
    return this.#rowOf(keys.shape, object, values, types.length > 0 ? types : undefined)
  }

  #added(before: Keys, key: string): Keys {
    const column = key.toLowerCase()
    const keys = new Keys(before, this.#renamed.get(column) ?? column, before.areProperties)
    before.next.set(key, keys)
    this.#count++
    if (this.#count > maxKeys) {
      this.#root = new Keys(null, null, false)
      this.#count = 0
    }
    return keys
  }

  #rowOf(shape: Shape, object: RowObject, values: (string | null)[], types: Types | undefined): FlatRow {
    const isIdentify = isIdentifyRecord(shape, values)
    const { idAt, userIdAt } = shape
    const id = values[idAt] ?? null
    if (id !== null && (values[userIdAt] ?? null) === null) {
      const userId = compositeUserId(id) ?? (this.#idIsUserId || shape.isAboutPerson ? wholeNumber(id) : undefined)
      if (userId !== undefined) {
        values[idAt] = userId
        return { kind: 'row', object, columns: shape.columnsByUserId, values, types, isIdentify }
      }
    }
    return { kind: 'row', object, columns: shape.columns, values, types, isIdentify }
  }
}

/** Rows without end of new keys only cost time: so many keys take about 20 MB, then all are forgotten. */
const maxKeys = 100_000

/** The keys that rows begin with. */
class Keys {
  readonly next = new Map<string, Keys>()
  properties: Keys | undefined
  /** Of the rows that end here. */
  shape: Shape | undefined
  readonly before: Keys | null
  /** Null where no key is added: at the start, and at the start of `properties`. */
  readonly column: string | null
  readonly areProperties: boolean

  constructor(before: Keys | null, column: string | null, areProperties: boolean) {
    this.before = before
    this.column = column
    this.areProperties = areProperties
  }
}

interface Shape {
  columns: Columns
  /** With the id of `id` under the name of `user_id`. */
  columnsByUserId: Columns
  /** Where columns of these names stand outside of `properties`; -1 where they do not. */
  idAt: number
  userIdAt: number
  identityAt: number
  typeAt: number
  objectAt: number
  isAboutPerson: boolean
}

function shapeOf(keys: Keys, fileColumns: Columns): Shape {
  const columns: string[] = []
  let ownCount = 0
  for (let at: Keys | null = keys; at; at = at.before) {
    if (at.column === null) continue
    columns.push(at.column)
    if (!at.areProperties) ownCount++
  }
  columns.reverse()
  const absent = fileColumns.filter((column) => !columns.includes(column))
  const own = columns.slice(0, ownCount)
  const idAt = own.indexOf('id')
  const userIdAt = own.indexOf('user_id')
  return {
    columns: [...columns, ...absent],
    // A `user_id` that holds nothing makes room for the one that does: of columns with one name the first is meant.
    columnsByUserId: [
      ...columns.map((column, index) => (index === idAt ? 'user_id' : index === userIdAt ? 'id' : column)),
      ...absent.filter((column) => column !== 'user_id'),
    ],
    idAt,
    userIdAt,
    identityAt: own.indexOf('identity'),
    typeAt: own.indexOf('type'),
    objectAt: own.indexOf('object'),
    isAboutPerson: own.some(isAboutPerson),
  }
}

const personColumns: ReadonlySet<string> = new Set([
  'identity',
  'identity_time',
  'joindate',
  'last_modified',
  'lastseen',
])

/** Whether only people have such a column, never events. */
export function isAboutPerson(column: string): boolean {
  return personColumns.has(column) || column.startsWith('initial_')
}

/** What calls of `heap.identify` are named, should they be named at all. */
const identifyActions: ReadonlySet<string> = new Set(['identify', 'identity'])

function isIdentifyRecord({ identityAt, typeAt, objectAt }: Shape, values: readonly (string | null)[]): boolean {
  if (identityAt === -1 || isBlank(values[identityAt])) return false
  const action = [values[typeAt], values[objectAt]].find((text) => !isBlank(text))
  // An action with an identity on it is still an action, and would be lost as an identify record.
  return typeof action !== 'string' || identifyActions.has(action.trim().toLowerCase())
}

function isBlank(text: string | null | undefined): boolean {
  return (text ?? '').trim() === ''
}

/** Of `(2008543124,4810060720600030)`, environment and user as PostgreSQL prints a composite key, the user. */
export function compositeUserId(id: string): string | undefined {
  return /^\(\s*\d+\s*,\s*"?(-?\d+)"?\s*\)$/.exec(id)?.[1]
}

export function wholeNumber(text: string): string | undefined {
  return /^-?\d+$/.test(text) ? text : undefined
}

/** Numbers that a double does not hold are none to others. */
function typeOf(value: unknown): DeclaredType | undefined {
  if (typeof value === 'number') return 'number'
  if (typeof value === 'boolean') return 'boolean'
  const isStructure = typeof value === 'object' && value !== null && !(value instanceof LosslessNumber)
  return isStructure ? 'json' : undefined
}

function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value === '' ? null : value
  if (value === null || value === undefined) return null
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return value instanceof LosslessNumber ? value.value : (stringify(value) ?? null)
}
