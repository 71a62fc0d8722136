import type { Columns, Condition, Conversion, Mapping, Table, Values } from '@heapferry/domain'
import { canonicalId } from './canonical-id.ts'
import { type Cell, cellAt, planColumns } from './column-plan.ts'
import { hashed, staticProperties, treatmentsOf } from './column-treatments.ts'
import type { ConversionContext } from './context.ts'
import { utf8Bytes } from './distinct-id.ts'
import { compileConditions, wantedTime, wantsTable } from './event-filter.ts'
import { eventUuid, rowUuid } from './event-uuid.ts'
import { parseHeapTime } from './heap-time.ts'
import { asIs, knownColumns } from './known-columns.ts'
import type { Properties, Setter } from './known-columns.ts'
import {
  isInRange,
  reject,
  rejectDistinctId,
  rejectId,
  rejectTimeOutOfRange,
  rejectUnparsableTime,
  skip,
} from './outcomes.ts'
import { entryUrl, pageAddress } from './page-address.ts'
import { remembered } from './remembered.ts'
import { storableText } from './storable-text.ts'
import { uuidTail, uuidV7 } from './uuid-v7.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** PostHog's documentation asks for this age of everything that is sent as history. */
const historyAgeMs = 48 * hourMs

/** PostHog's limit, in UTF-8 bytes. */
const eventNameMaxBytes = 200

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
export function compileEventConverter(
  table: Table,
  columns: Columns,
  context: ConversionContext,
): (values: Values) => Conversion {
  const { mapping } = context
  if (!wantsTable(mapping, table.name)) return () => skip('filtered_out')
  return compileRows(table, columns, { ...context, names: [table.name], event: mapping.tables[table.name]?.event })
}

/**
 * Converts rows of the one-time export, where each row names its own event. What the mapping has for a table it has here
 * for the events of a type.
 */
export function compileRawEventConverter(
  table: Table,
  columns: Columns,
  context: ConversionContext,
): (values: Values) => Conversion {
  const { mapping } = context
  const actionOf = compileAction((column) => cellAt(columns.indexOf(column)))
  const ofAnyType = compileRows(table, columns, { ...context, names: [table.name], event: undefined })
  const ofType = new Map<string, (values: Values) => Conversion>()
  const wants = remembered((type) => ({ events: wantsTable(mapping, type) }))
  return (values) => {
    const type = actionOf(values).toLowerCase()
    if (!wants(type).events) return skip('filtered_out')
    const mapped = mapping.tables[type]
    if (mapped === undefined) return ofAnyType(values)
    const names = [table.name, type]
    const convert = ofType.get(type) ?? compileRows(table, columns, { ...context, names, event: mapped.event })
    ofType.set(type, convert)
    return convert(values)
  }
}

interface RowContext extends ConversionContext {
  /** Under which the mapping may speak of these rows, the most special last. */
  names: readonly string[]
  /** What the mapping calls their event. */
  event: string | undefined
}

function compileRows(table: Table, columns: Columns, context: RowContext): (values: Values) => Conversion {
  const { startedAtMs, includeRecent, run, mapping, hash, identities, names, event } = context
  const treatments = treatmentsOf(context, names)
  // An event that names the person's identity names what is their distinct_id.
  if (mapping.identity === 'hash') treatments.set('identity', hashed(hash))
  const plan = planColumns(columns, { consumed: consumedEventColumns, known: knownEventColumns, treatments })
  const meetsConditions = compileConditions(columns, conditionsOf(mapping, names))
  const { fromMs, toMs } = wantedTime(mapping)
  const isPersonless = mapping.anonymous === 'personless'
  const statics = staticProperties([mapping.static, ...names.map((name) => mapping.tables[name]?.static)])
  const userIdCell = plan.keyCell('user_id')
  const eventIdCell = plan.keyCell('event_id')
  const sessionIdCell = plan.keyCell('session_id')
  const timeCell = plan.keyCell('time')
  const ipCell = plan.cell('ip')
  const browserIpCell = plan.cell('browser_ip')
  const domainCell = plan.cell('domain')
  const browserCell = plan.cell('browser')
  // They tell screens from pages, and so the event's name, also where the mapping lets nobody see them.
  const libraryCell = plan.keyCell('library')
  const viewControllerCell = plan.keyCell('view_controller')
  const pathCell = plan.keyCell('path')
  const showsLibrary = plan.has('library')
  const showsViewController = plan.has('view_controller')
  const screenLabelCell = plan.cell('screen_a11y_label')
  const hasReferrer = plan.has('referrer')
  const setAddress = compileAddress(plan)
  const sessionUuid = compileSessionUuid()

  const isPageviews = table.kind === 'pageviews'
  const pageName = storableText(event ?? (isPageviews ? '$pageview' : table.name))
  const screenName = storableText(event ?? (isPageviews ? '$screen' : table.name))
  const nameOf =
    table.kind === 'raw_events' && event === undefined
      ? compileRawName(plan)
      : (_: Values, isNative: boolean): string => (isNative ? screenName : pageName)

  return (values) => {
    // Whoever does not want a row need not hear what is wrong with it.
    if (meetsConditions !== null && !meetsConditions(values)) return skip('filtered_out')
    const userId = canonicalId(userIdCell(values))
    if (userId.kind !== 'id') return rejectId('user_id', userId, userIdCell(values))
    const eventId = canonicalId(eventIdCell(values))
    if (eventId.kind === 'damaged') return rejectId('event_id', eventId, eventIdCell(values))
    const sessionId = canonicalId(sessionIdCell(values))
    if (sessionId.kind === 'damaged') return rejectId('session_id', sessionId, sessionIdCell(values))
    const idFault = rejectDistinctId('user_id', userId.id)
    if (idFault) return idFault

    const time = timeCell(values)
    if (time === null) return reject('missing_time', 'time is empty')
    const timeMs = parseHeapTime(time)
    if (timeMs === undefined) return rejectUnparsableTime('time', time)
    if (timeMs < fromMs || timeMs >= toMs) return skip('filtered_out')
    if (!isInRange(timeMs, startedAtMs)) return rejectTimeOutOfRange('time', timeMs, time)
    const libraryKey = libraryCell(values)
    const viewControllerKey = viewControllerCell(values)
    const isNative = isNativeLibrary(libraryKey) || (viewControllerKey !== null && pathCell(values) === null)
    const name = nameOf(values, isNative)
    // No UTF-16 unit takes more than three bytes: nearly all names need no counting.
    const nameBytes = name.length * 3 <= eventNameMaxBytes ? 0 : utf8Bytes(name)
    if (nameBytes > eventNameMaxBytes)
      return reject(
        'event_name_too_long',
        `the event's name has ${nameBytes} bytes, PostHog takes ${eventNameMaxBytes}`,
      )
    if (!includeRecent && timeMs > startedAtMs - historyAgeMs) return skip('held_back')

    const properties: Properties = {
      $geoip_disable: true,
      // PostHog would fill in the address of the machine that imports.
      $ip: ipCell(values) ?? browserIpCell(values) ?? '0.0.0.0',
      historical_migration: true,
      analytics_source: 'heap',
      $import_job_id: run,
    }
    if (isPersonless && !identities.isKnown(userId.id)) properties.$process_person_profile = false
    const library = showsLibrary ? libraryKey : null
    if (library !== null) properties.$lib = library
    // Exporters write 0 for null, and one id for many rows would make them one event.
    const hasEventId = eventId.kind === 'id' && eventId.id !== '0'
    if (hasEventId) properties.heap_event_id = eventId.id
    if (sessionId.kind === 'id') {
      properties.heap_session_id = sessionId.id
      properties.$session_id = sessionUuid(userId.id, sessionId.id, timeMs)
    }
    if (isNative) {
      const screen = (showsViewController ? viewControllerKey : null) ?? screenLabelCell(values)
      if (screen !== null) properties.$screen_name = screen
    }
    setAddress(values, properties)
    plan.describe(values, properties)
    if (hasReferrer && properties.$referrer === undefined && !isNative) {
      const isWeb =
        library === null ? domainCell(values) !== null || browserCell(values) !== null : library.toLowerCase() === 'web'
      if (isWeb) {
        properties.$referrer = '$direct'
        properties.$referring_domain = '$direct'
      }
    }
    for (const [property, value] of statics) if (properties[property] === undefined) properties[property] = value

    return {
      kind: 'event',
      event: {
        uuid: hasEventId
          ? eventUuid(table.name, eventId.id, timeMs)
          : rowUuid(table.name, plan.content(values), timeMs, hash),
        event: name,
        distinct_id: userId.id,
        timestamp: new Date(timeMs).toISOString(),
        properties,
      },
    }
  }
}

/** How the one-time export calls the view of a page. */
const pageViews: ReadonlySet<string> = new Set(['pageview', 'page view', 'view page', 'view_page'])

/** The event's name from what the row says it is. PostHog keeps names with `$` for itself. */
function compileRawName(plan: ReturnType<typeof planColumns>): (values: Values, isNative: boolean) => string {
  const actionOf = compileAction(plan.cell)
  return (values, isNative) => {
    const action = actionOf(values)
    if (pageViews.has(action.toLowerCase())) return isNative ? '$screen' : '$pageview'
    return action.startsWith('$') ? `heap_${action}` : action
  }
}

/** The row's `type`, else its `object`. */
function compileAction(cellOf: (column: string) => Cell): (values: Values) => string {
  const typeCell = cellOf('type')
  const objectCell = cellOf('object')
  return (values) => (typeCell(values) ?? objectCell(values) ?? 'unknown action').trim()
}

function conditionsOf({ filter, tables }: Mapping, names: readonly string[]): [string, Condition][] {
  return [filter.where, ...names.map((name) => tables[name]?.where)].flatMap((where) => Object.entries(where ?? {}))
}

/**
 * PostHog takes a session's start from its id, wants it before the session's first event and less than 24 hours before its
 * last, and the same in every event. The start of the event's day (UTC) is all that without knowing the other events; a
 * session that crosses midnight becomes two. Heap numbers sessions per user.
 */
function compileSessionUuid(): (userId: string, sessionId: string, timeMs: number) => string {
  const tails = remembered((name) => ({ tail: uuidTail(name) }))
  return (userId, sessionId, timeMs) =>
    uuidV7(timeMs - (timeMs % dayMs), tails(`heapferry session\0${userId}\0${sessionId}`).tail)
}

function isNativeLibrary(library: string | null): boolean {
  if (library === null || library === 'web') return false
  const lower = library.toLowerCase()
  return lower === 'ios' || lower === 'android'
}

/** Sets the page's address and that of the session's first page. What cannot be put into an address stays as it is. */
function compileAddress(plan: ReturnType<typeof planColumns>): (values: Values, properties: Properties) => void {
  const domainCell = plan.cell('domain')
  const pathCell = plan.cell('path')
  const queryCell = plan.cell('query')
  const hashCell = plan.cell('hash')
  const landingPageCell = plan.cell('landing_page')
  const landingQueryCell = plan.cell('landing_page_query')
  const landingHashCell = plan.cell('landing_page_hash')

  return (values, properties) => {
    const query = queryCell(values)
    const hash = hashCell(values)
    const { url, host, pathname } = pageAddress({
      domain: domainCell(values),
      path: pathCell(values),
      query,
      hash,
    })
    if (url !== undefined) properties.$current_url = url
    if (host !== undefined) properties.$host = host
    if (pathname !== undefined) properties.$pathname = pathname
    if (url === undefined) setUnlessNull(properties, { query, hash })

    const landingPage = landingPageCell(values)
    const landingQuery = landingQueryCell(values)
    const landingHash = landingHashCell(values)
    if (landingPage === null) {
      setUnlessNull(properties, { landing_page_query: landingQuery, landing_page_hash: landingHash })
      return
    }
    const entry = entryUrl(landingPage, landingQuery, landingHash)
    properties.$session_entry_url = entry
    // A row that names its own page, even without the domain, was not necessarily on the session's first one.
    if (url === undefined && pathname === undefined) properties.$current_url = entry
  }
}

function setUnlessNull(properties: Properties, cells: Record<string, string | null>): void {
  for (const [name, text] of Object.entries(cells)) if (text !== null) properties[name] = text
}
