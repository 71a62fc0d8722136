import { type DeclaredType, type Mapping, OperatorError, tableOf } from '@heapferry/domain'
import { type Beginning, beginningOf } from '../../unpacking/content.ts'
import { damagedBeforeRows } from '../../unpacking/damaged-content.ts'
import type { TableInFile, UnknownFile } from '../file-format.ts'
import { defaultMaxRowBytes } from '../text/row-finder.ts'
import { scanRows } from '../text/scan-rows.ts'
import { isDoubled } from './backslashes.ts'
import { finderOf, type JsonFormat, readRow } from './json-format.ts'
import { isObject, type RowObject } from './parse-object.ts'
import { compositeUserId, type FlatRow, isAboutPerson, RowShapes, wholeNumber } from './row-shapes.ts'

/** A thousand rows or more: enough to see what a file is, and all keys but the rare ones. */
const sampleBytes = 1024 * 1024
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

/**
 * Tells by its name and its first rows what a JSON file holds: a table, or people or events of Heap's one-time export.
 * There events and identify records are mixed, and each of the two is a table of its own.
 *
 * @returns none for a file without rows
 * @throws OperatorError when it holds neither one object a line nor all objects in one array
 */
export async function inspectJson({ content, path, table, called, mapping }: UnknownFile): Promise<TableInFile[]> {
  const head = await beginningOf(content, sampleBytes)
  const firstRowByte = head.bytes.subarray(0, 3).equals(byteOrderMark) ? byteOrderMark.length : 0
  const kind = kindOf(head.bytes.subarray(firstRowByte), path)
  if (kind === null && head.damage !== null) throw damagedBeforeRows(head.damage)
  if (kind === null) return []
  const { undouble } = mapping.json
  const sampled = { firstRowByte, kind, undoubled: undouble === 'always', path }
  const sample =
    (await sampleOf(head, sampleBytes, sampled)) ??
    (await sampleOf(await beginningOf(content, defaultMaxRowBytes), defaultMaxRowBytes, sampled))
  if (sample === null) throw notRows(path, `has no row that ends within its first ${defaultMaxRowBytes} bytes`)
  if (sample.length === 0) return []

  const holds = holdsOf(sample, mapping.tables[table]?.kind, called)
  const undoubled =
    undouble === 'always' ||
    (undouble === 'auto' &&
      holds !== 'table' &&
      (await isDoubled(content, firstRowByte, finderOf({ kind, undoubled: false }))))
  const doubling = undoubled
    ? [`${path}: backslashes are written twice, as PostgreSQL's COPY does, and read as one`]
    : []
  const format = { kind, records: 'all', undoubled } as const
  switch (holds) {
    case 'table': {
      return [{ format, ...columnsOf(sample, false), firstRowByte, notices: doubling }]
    }
    case 'people': {
      const notices = [`${path} is read as people of Heap's one-time export`, ...doubling]
      return [{ format, ...columnsOf(sample, false), firstRowByte, table: { kind: 'users', name: 'users' }, notices }]
    }
    case 'events': {
      const identify = sample.filter((row) => row.isIdentify)
      const events = sample.filter((row) => !row.isIdentify)
      return [
        {
          format: { ...format, records: 'events' },
          ...(events.length > 0 ? columnsOf(events, true) : { columns: ['user_id', 'time'] }),
          firstRowByte,
          // The same whatever the file is called: the name is a part of every event's uuid.
          table: { kind: 'raw_events', name: 'events' },
          notices: [eventsNotice(path, events, identify), ...doubling],
        },
        {
          format: { ...format, records: 'identify' },
          ...(identify.length > 0 ? columnsOf(identify, true) : { columns: ['user_id', 'identity', 'time'] }),
          firstRowByte,
          table: { kind: 'identify', name: 'identify' },
          notices: [],
        },
      ]
    }
  }
}

function kindOf(head: Buffer, path: string): JsonFormat['kind'] | null {
  const [first] = /\S/.exec(head.toString('latin1')) ?? []
  if (first === '{') return 'json_lines'
  if (first === '[') return 'json_array'
  if (first === undefined && head.length < sampleBytes) return null
  throw notRows(path, 'does not begin like JSON in UTF-8')
}

/** The readable rows of a file's first bytes, none where it has no rows at all; null where more bytes are needed for one. */
async function sampleOf(
  { bytes: head, damage }: Beginning,
  askedBytes: number,
  file: { firstRowByte: number; kind: JsonFormat['kind']; undoubled: boolean; path: string },
): Promise<FlatRow[] | null> {
  const { firstRowByte, undoubled, path } = file
  const group = { rows: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY }
  const shapes = new RowShapes({ idIsUserId: false })
  const rows: FlatRow[] = []
  let count = 0
  for await (const { bytes, bytesAt, spans } of scanRows(only(head.subarray(firstRowByte)), {
    start: firstRowByte,
    finder: finderOf(file),
    group,
  })) {
    // Behind the last byte that was asked for the row may go on.
    const whole = head.length < askedBytes ? spans : spans.slice(0, -1)
    count += whole.length
    for (const { state, start, end } of whole) {
      const row =
        state === 'plain' ? readRow(bytes.toString('utf8', start - bytesAt, end - bytesAt), undoubled, shapes) : null
      if (row?.kind === 'row') rows.push(row)
    }
  }
  const [first] = rows
  if (!first && damage !== null) throw damagedBeforeRows(damage)
  if (count === 0) return head.length < askedBytes ? [] : null
  if (!first) throw notRows(path, `has no JSON object among its first ${count} rows`)
  if (count === 1 && holdsRows(first.object)) throw notRows(path, 'is a single JSON object with a list inside')
  return rows
}

async function* only(block: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(block)
}

function notRows(path: string, fault: string): OperatorError {
  return new OperatorError(
    `${path} ${fault}`,
    `Expected one object a line ({…}), or all objects in one array ([{…}, …]). jq makes lines of other forms: jq -c . FILE, or jq -c '.data[]' FILE for a list called data.`,
  )
}

function holdsRows(object: RowObject): boolean {
  const isRow = ['id', 'user_id', 'event_id', 'from_user_id'].some((key) => key in object)
  return !isRow && Object.values(object).some((value) => Array.isArray(value) && value.every(isObject))
}

/** All columns of the rows, in the order in which they are met, and what all of their values are. */
function columnsOf(rows: readonly FlatRow[], idIsUserId: boolean): Required<Pick<TableInFile, 'columns' | 'types'>> {
  const shapes = new RowShapes({ idIsUserId })
  const found = new Map<string, DeclaredType | null | undefined>()
  for (const { object } of rows) {
    const { columns, values, types } = shapes.flatten(object)
    for (const [index, column] of columns.entries()) {
      const type = types?.[index] ?? null
      const known = found.get(column)
      const isSame = (values[index] ?? null) === null || known === undefined || known === type
      found.set(column, (values[index] ?? null) === null ? known : isSame ? type : null)
    }
  }
  return { columns: [...found.keys()], types: [...found.values()].map((type) => type ?? null) }
}

/** Names of files that hold all events, as people call them; event tables of a warehouse have names of their own. */
const eventsName = /^(?:heap[-_]?)?(?:raw[-_]?)?events(?:[-_](?:export|full|part|\d+))*$/

/**
 * Tables are flat and keyed by `user_id`. In the one-time export the user may be in `id`, properties may be nested, and no
 * container or naming of files is documented: so each of its traits counts.
 */
function holdsOf(
  rows: readonly FlatRow[],
  kind: Mapping['tables'][string]['kind'],
  called: string,
): 'table' | 'people' | 'events' {
  if (kind) return kind === 'raw_events' ? 'events' : 'table'
  // With no columns to tell, only the tables that Heap always names the same are known.
  if (tableOf(called, []).kind !== 'helper') return 'table'

  const traits = rows.map(traitsOf)
  const most = (is: (row: Traits) => boolean): boolean => traits.filter(is).length * 2 > traits.length
  if (!most((row) => row.isTimed)) {
    const isKeyed = most((row) => row.isComposite) || most((row) => row.isNumbered && row.isPerson)
    if (isKeyed || (called.includes('users') && most((row) => row.isPerson))) return 'people'
  }
  const isEvents = traits.some(
    (row) =>
      row.isComposite ||
      (row.isTimed &&
        (row.isNested || row.isIdentify || (row.isAction && (row.isNumbered || eventsName.test(called))))),
  )
  return isEvents ? 'events' : 'table'
}

interface Traits {
  /** `id` is a composite key, or a number in place of `user_id`. */
  isComposite: boolean
  isNumbered: boolean
  isTimed: boolean
  isNested: boolean
  isPerson: boolean
  isAction: boolean
  isIdentify: boolean
}

function traitsOf({ object, isIdentify }: FlatRow): Traits {
  const id = has(object, 'user_id') || isObject(object['id']) ? '' : String(object['id'])
  return {
    isComposite: compositeUserId(id) !== undefined,
    isNumbered: wholeNumber(id) !== undefined,
    isTimed: has(object, 'time'),
    isNested: isObject(object['properties']),
    isPerson: Object.keys(object).some(isAboutPerson),
    isAction: has(object, 'type') || has(object, 'object'),
    isIdentify: isIdentify && !has(object, 'event_id'),
  }
}

function has(object: RowObject, key: string): boolean {
  return (object[key] ?? '') !== ''
}

function eventsNotice(path: string, events: readonly FlatRow[], identify: readonly FlatRow[]): string {
  const found = `${path} is read as events of Heap's one-time export: of its first ${events.length + identify.length} rows ${identify.length} join an id to an identity`
  const named = events.filter(({ object }) => has(object, 'identity')).length
  return named === 0 ? found : `${found}; ${named} are actions with an identity on them, which join nobody`
}
