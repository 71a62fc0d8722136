import type { Columns, Condition, Conversion, FoundSession, Mapping, Table, Types, Values } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { hashed, staticProperties, treatmentsOf } from './column-treatments.ts'
import { cellAt, type CompiledColumns, compileColumns } from './compile-columns.ts'
import type { ConversionContext } from './context.ts'
import { cellsOf } from './declared-values.ts'
import { compileIsDeleted } from './deleted-rows.ts'
import { compileConditions, wantedTime, wantsTable } from './event-filter.ts'
import { compileElementsChain } from './elements-chain.ts'
import {
  autocaptured,
  compileAction,
  compileEventName,
  compileIsNative,
  interactionOf,
  interactionOfTable,
  rejectEventName,
} from './event-name.ts'
import { compileEventProperties, type EventIds } from './event-properties.ts'
import { eventUuid, rowUuid } from './event-uuid.ts'
import { parseHeapTime } from './heap-time.ts'
import { asIs, knownColumns } from './known-columns.ts'
import type { Setter } from './known-columns.ts'
import type { OutcomeOf } from './made-event.ts'
import { columnNulls } from './nulls.ts'
import {
  isInRange,
  reject,
  rejectDistinctId,
  rejectId,
  rejectTimeOutOfRange,
  rejectUnparsableTime,
  skip,
} from './outcomes.ts'
import type { Properties } from './properties.ts'
import { remembered } from './remembered.ts'

const hourMs = 3_600_000

/** What PostHog calls the view of a page or screen; the one-time export has them among its events. */
const pageEvents: ReadonlySet<string> = new Set(['$pageview', '$screen'])

/** PostHog's documentation asks for this age of everything that is sent as history. */
export const historyAgeMs = 48 * hourMs

/** Columns of pageviews and event tables that are read by name instead of becoming a property each. */
export const consumedEventColumns: ReadonlySet<string> = new Set([
  'user_id',
  'event_id',
  'session_id',
  'time',
  'session_time',
  'library',
  'ip',
  'domain',
  'path',
  'query',
  'hash',
  'landing_page',
  'landing_page_query',
  'landing_page_hash',
])

export const knownEventColumns: ReadonlyMap<string, Setter> = new Map<string, Setter>([
  ...knownColumns((name) => name),
  ['type', asIs('$event_type')],
  ['target_text', asIs('$el_text')],
])

/** Converts rows of `pageviews` and of event tables. */
export function compileEventConverter(table: Table, columns: Columns, context: ConversionContext): OutcomeOf {
  const { mapping } = context
  if (!wantsTable(mapping, table.name)) return () => skip('filtered_out')
  return compileRows(table, columns, ofTable(table, context))
}

/**
 * Converts rows of the one-time export, where each row names its own event. What the mapping has for a table it has here
 * for the events of a type.
 */
export function compileRawEventConverter(table: Table, columns: Columns, context: ConversionContext): OutcomeOf {
  return compileByType(table, columns, context, compileRows)
}

/** When and of whom a row is an event, and no more: what is asked of every row of an export has to be cheap. */
export interface Sightings {
  /** Null for a row that becomes no event, or one of another time; one that is held back for its youth becomes one. */
  see(row: Values, types?: Types): { userId: string; timeMs: number } | null
  /** The row's content, as its uuid is made of it. */
  content(row: Values): string
}

/** For rows that `compileConverter` makes events of. */
export function compileSightings(table: Table, columns: Columns, context: ConversionContext): Sightings {
  const isDeleted = compileIsDeleted(columns, context.mapping)
  const see =
    table.kind === 'raw_events'
      ? compileByType(table, columns, context, compileSighted)
      : wantsTable(context.mapping, table.name)
        ? compileSighted(table, columns, ofTable(table, context))
        : () => skip('filtered_out')
  const { content } = compileColumnsOf(table, columns, ofTable(table, context)).compiled
  return {
    see(row, types) {
      if (isDeleted?.(row)) return null
      const head = see(row, types)
      return head.kind === 'head' ? { userId: head.ids.userId, timeMs: head.timeMs } : null
    },
    content,
  }
}

type Compiled<T> = (row: Values, types?: Types, session?: FoundSession | null) => T | Conversion

function compileByType<T>(
  table: Table,
  columns: Columns,
  context: ConversionContext,
  compile: (table: Table, columns: Columns, context: RowContext) => Compiled<T>,
): Compiled<T> {
  const { mapping } = context
  const nulls = columnNulls(table, mapping)
  const actionOf = compileAction((column) => cellAt(columns.indexOf(column), nulls.certain(column)))
  const ofAnyType = compile(table, columns, { ...context, names: [table.name], event: undefined })
  const ofType = new Map<string, Compiled<T>>()
  const wants = remembered((type) => ({ events: wantsTable(mapping, type) }))
  return (row, types, session) => {
    const type = actionOf(row).toLowerCase()
    if (!wants(type).events) return skip('filtered_out')
    const mapped = mapping.tables[type]
    // As the table of sessions; unless the mapping speaks of events of that name.
    if (mapped === undefined && type === 'session') return skip('derived_by_posthog')
    if (mapped === undefined) return ofAnyType(row, types, session)
    const names = [table.name, type]
    const convert = ofType.get(type) ?? compile(table, columns, { ...context, names, event: mapped.event })
    ofType.set(type, convert)
    return convert(row, types, session)
  }
}

interface RowContext extends ConversionContext {
  /** Under which the mapping may speak of these rows, the most special last. */
  names: readonly string[]
  /** What the mapping calls their event. */
  event: string | undefined
}

function ofTable({ name }: Table, context: ConversionContext): RowContext {
  return { ...context, names: [name], event: context.mapping.tables[name]?.event }
}

function compileColumnsOf(table: Table, columns: Columns, context: RowContext) {
  const { mapping, hash, names } = context
  const treatments = treatmentsOf(context, names)
  // An event that names the person's identity names what is their distinct_id.
  if (mapping.identity === 'hash') treatments.set('identity', hashed(hash))
  const nulls = columnNulls(table, mapping)
  const compiled = compileColumns(columns, {
    consumed: consumedEventColumns,
    known: knownEventColumns,
    treatments,
    nulls,
  })
  return { compiled, treatments, nulls }
}

/** What decides whether a row becomes an event. */
interface Head {
  kind: 'head'
  ids: EventIds
  timeMs: number
  isNative: boolean
  name: string
}

function compileSighted(table: Table, columns: Columns, context: RowContext): Compiled<Head> {
  const headOf = compileHead(table, columns, compileColumnsOf(table, columns, context).compiled, context)
  return (row, types) => headOf(cellsOf(row, types))
}

function compileHead(
  table: Table,
  columns: Columns,
  compiled: CompiledColumns,
  context: RowContext,
): (values: Values) => Head | Conversion {
  const meetsConditions = compileConditions(columns, conditionsOf(context.mapping, context.names))
  const idsOf = compileIds(compiled)
  const timeOf = compileTime(compiled, context)
  const isNativeRow = compileIsNative(compiled)
  const nameOf = compileEventName(table, context.event, compiled, context.mapping)

  return (values) => {
    // Whoever does not want a row need not hear what is wrong with it.
    if (meetsConditions !== null && !meetsConditions(values)) return skip('filtered_out')
    const ids = idsOf(values)
    if (ids.kind !== 'ids') return ids
    const timeMs = timeOf(values)
    if (typeof timeMs !== 'number') return timeMs
    const isNative = isNativeRow(values)
    const name = nameOf(values, isNative)
    return rejectEventName(name) ?? { kind: 'head', ids, timeMs, isNative, name }
  }
}

function compileRows(table: Table, columns: Columns, context: RowContext): OutcomeOf {
  const { startedAtMs, includeRecent, mapping, hash, names } = context
  const { compiled, treatments, nulls } = compileColumnsOf(table, columns, context)
  const headOf = compileHead(table, columns, compiled, context)
  const isPageviews = table.kind === 'pageviews'
  const statics = staticProperties([mapping.static, ...names.map((name) => mapping.tables[name]?.static)])
  const propertiesOf = compileEventProperties(columns, compiled, context, { treatments, nulls }, statics)
  const setInteraction = mapping.autocapture ? compileInteraction(table, compiled) : null

  return (row, types, session = null) => {
    const values = cellsOf(row, types)
    const head = headOf(values)
    if (head.kind !== 'head') return head
    const { ids, timeMs, isNative, name } = head
    if (!includeRecent && timeMs > startedAtMs - historyAgeMs) return skip('held_back')
    const isPageview = isPageviews || pageEvents.has(name)
    const properties = propertiesOf(values, ids, timeMs, { isNative, isPageview, types, session })
    if (name === autocaptured) setInteraction?.(values, properties)
    return {
      kind: 'event',
      event: {
        uuid:
          ids.eventId === null
            ? rowUuid(table.name, compiled.content(row), timeMs, hash)
            : eventUuid(table.name, ids.eventId, timeMs),
        event: name,
        distinct_id: ids.userId,
        timestamp: new Date(timeMs).toISOString(),
        properties,
      },
    }
  }
}

/** Sets what PostHog's own libraries say of a click: its actions look for that. */
function compileInteraction(table: Table, compiled: CompiledColumns): (values: Values, properties: Properties) => void {
  const actionOf = compileAction(compiled.cell)
  const chainOf = compileElementsChain(compiled)
  return (values, properties) => {
    const type = interactionOf(actionOf(values)) ?? interactionOfTable(table)
    const chain = chainOf(values)
    if (type !== undefined) properties.set('$event_type', type)
    if (chain !== null) properties.set('$elements_chain', chain)
  }
}

function compileIds(compiled: CompiledColumns): (values: Values) => EventIds | Conversion {
  const userIdCell = compiled.keyCell('user_id')
  const eventIdCell = compiled.keyCell('event_id')
  const sessionIdCell = compiled.keyCell('session_id')
  return (values) => {
    const userId = canonicalId(userIdCell(values))
    if (userId.kind !== 'id') return rejectId('user_id', userId, userIdCell(values))
    const eventId = canonicalId(eventIdCell(values))
    if (eventId.kind === 'damaged') return rejectId('event_id', eventId, eventIdCell(values))
    const sessionId = canonicalId(sessionIdCell(values))
    if (sessionId.kind === 'damaged') return rejectId('session_id', sessionId, sessionIdCell(values))
    const idFault = rejectDistinctId('user_id', userId.id)
    if (idFault) return idFault
    return {
      kind: 'ids',
      userId: userId.id,
      // Exporters write 0 for null, and one id for many rows would make them one event.
      eventId: eventId.kind === 'id' && eventId.id !== '0' ? eventId.id : null,
      sessionId: sessionId.kind === 'id' ? sessionId.id : null,
    }
  }
}

/** @returns milliseconds since 1970, or what becomes of a row that has no time, or one that is not wanted */
function compileTime(
  compiled: CompiledColumns,
  { mapping, startedAtMs }: ConversionContext,
): (values: Values) => number | Conversion {
  const timeCell = compiled.keyCell('time')
  const { fromMs, toMs } = wantedTime(mapping)
  return (values) => {
    const time = timeCell(values)
    if (time === null) return reject('missing_time', 'time is empty')
    const timeMs = parseHeapTime(time)
    if (timeMs === undefined) return rejectUnparsableTime('time', time)
    if (timeMs < fromMs || timeMs >= toMs) return skip('filtered_out')
    return isInRange(timeMs, startedAtMs) ? timeMs : rejectTimeOutOfRange('time', timeMs, time)
  }
}

function conditionsOf({ filter, tables }: Mapping, names: readonly string[]): [string, Condition][] {
  return [filter.where, ...names.map((name) => tables[name]?.where)].flatMap((where) => Object.entries(where ?? {}))
}
