import type { Columns, FoundSession, Types, Values } from '@heapferry/domain'
import { compileCampaign } from './campaign.ts'
import type { Treatments } from './column-treatments.ts'
import type { CellReader, CompiledColumns } from './compile-columns.ts'
import type { ConversionContext } from './context.ts'
import { compileGroupKey } from './group-key.ts'
import { compileDerived } from './derived-properties.ts'
import { compileSessionName } from './session-name.ts'
import type { ColumnNulls } from './nulls.ts'
import { entryUrl, pageAddress, setPageAddress } from './page-address.ts'
import { Properties } from './properties.ts'
import { remembered } from './remembered.ts'
import { uuidTail, uuidV7 } from './uuid-v7.ts'

const dayMs = 86_400_000

/** The ids of a row, canonical decimal; null where it has none. */
export interface EventIds {
  kind: 'ids'
  userId: string
  eventId: string | null
  sessionId: string | null
}

/** What else is known of a row. */
export interface EventRow {
  isNative: boolean
  isPageview: boolean
  types: Types | undefined
  session: FoundSession | null
}

/**
 * What is returned for a row is the properties' until the next row.
 * @param treatments of the columns, those that the table does not have included
 * @param statics what every event has that does not say otherwise
 */
export function compileEventProperties(
  columns: Columns,
  compiled: CompiledColumns,
  context: ConversionContext,
  { treatments, nulls }: { treatments: Treatments; nulls: ColumnNulls },
  statics: readonly [string, unknown][],
): (values: Values, ids: EventIds, timeMs: number, row: EventRow) => Properties {
  const { run, mapping, identities } = context
  const isPersonless = mapping.anonymous === 'personless'
  const ipCell = compiled.cell('ip')
  const browserIpCell = compiled.cell('browser_ip')
  const libraryCell = compiled.cell('library')
  const viewControllerCell = compiled.cell('view_controller')
  const screenLabelCell = compiled.cell('screen_a11y_label')
  const sessionUuid = compileSessionUuid(context)
  const setAddress = compileAddress(compiled)
  const setDirect = compileDirect(compiled)
  const setCampaign = compileCampaign(compiled, treatments)
  const groups = Object.entries(mapping.groups).map(([type, { key }]) => ({
    type,
    keyIn: compileGroupKey(columns, key, { treatments, nulls }),
  }))
  const isClient = compileIsClient(compiled)
  const isWeb = compileIsWeb(compiled)
  const derive = compileDerived(context, treatments)
  const properties = new Properties()

  return (values, { userId, eventId, sessionId }, timeMs, { isNative, isPageview, types, session }) => {
    properties.clear()
    properties.set('$geoip_disable', true)
    // PostHog would fill in the address of the machine that imports.
    properties.set('$ip', ipCell(values) ?? browserIpCell(values) ?? '0.0.0.0')
    properties.set('historical_migration', true)
    properties.set('analytics_source', 'heap')
    properties.set('$import_job_id', run)
    if (isPersonless && !identities.isKnown(userId)) properties.set('$process_person_profile', false)
    const library = libraryCell(values)
    if (library !== null) properties.set('$lib', library)
    if (eventId !== null) properties.set('heap_event_id', eventId)
    if (sessionId !== null) {
      properties.set('heap_session_id', sessionId)
      // A server makes up the session of its events: in PostHog it would be one more, of a single event.
      if (session === null || !session.isMissing || isClient(values))
        properties.set('$session_id', sessionUuid(userId, sessionId, timeMs, session?.startMs ?? null))
    }
    if (isNative) {
      const screen = viewControllerCell(values) ?? screenLabelCell(values)
      if (screen !== null) properties.set('$screen_name', screen)
    }
    setAddress(values, properties)
    compiled.describe(values, properties, types)
    if (!isNative) setDirect(values, properties, library)
    setCampaign(values, properties)
    if (session !== null) derive(session, properties, { isNative, isPageview, isWeb: isWeb(values, library) })
    // PostHog takes no groups from events without a person.
    if (groups.length > 0 && properties.get('$process_person_profile') !== false) setGroups(groups, values, properties)
    for (const [name, value] of statics) if (properties.get(name) === undefined) properties.set(name, value)
    return properties
  }
}

function setGroups(
  groups: readonly { type: string; keyIn: CellReader }[],
  values: Values,
  properties: Properties,
): void {
  const named = groups.flatMap(({ type, keyIn }): [string, string][] => {
    const key = keyIn(values)
    return key === null ? [] : [[type, key]]
  })
  if (named.length > 0) properties.set('$groups', Object.fromEntries(named))
}

/**
 * PostHog takes a session's start from its id, wants it before the session's first event and less than 24 hours before its
 * last, and the same in every event. Where nobody knows the other events, the start of the event's day (UTC) is all that,
 * and a session that crosses midnight becomes two; where its start is known, only what is 24 hours later, or earlier than
 * that, is another one.
 */
function compileSessionUuid(
  context: ConversionContext,
): (userId: string, sessionId: string, timeMs: number, startMs: number | null) => string {
  const nameOf = compileSessionName(context)
  const tails = remembered((name) => ({ tail: uuidTail(name) }))
  return (userId, sessionId, timeMs, startMs) => {
    const from = startMs ?? 0
    const windowMs = from + Math.floor((timeMs - from) / dayMs) * dayMs
    return uuidV7(windowMs, tails(nameOf(userId, sessionId)).tail)
  }
}

/** Columns that only what runs in front of a person fills. */
const clientColumns: readonly string[] = [
  'platform',
  'browser',
  'device_type',
  'device',
  'phone_model',
  'heap_device',
  'user_agent',
  'carrier',
  'domain',
  'path',
  'title',
  'referrer',
  'landing_page',
  'view_controller',
  'screen_a11y_id',
  'screen_a11y_label',
  'screen_dimensions',
  'app_name',
  'app_version',
  'heap_app_name',
  'heap_app_version',
]

/** Names that libraries of web pages and apps have: `web`, `ios`, `react-native` … */
const clientLibrary = /^(?:web|ios|android|tvos|react[ _-]?native|flutter|cordova|xamarin|electron|unity)/i

/** Whether a row is of a web page or an app, told by the cells themselves, whatever the mapping makes of them. */
function compileIsClient(compiled: CompiledColumns): (values: Values) => boolean {
  const libraryCell = compiled.keyCell('library')
  const cells = clientColumns.map(compiled.keyCell)
  return (values) => clientLibrary.test(libraryCell(values) ?? '') || cells.some((cell) => cell(values) !== null)
}

/** Sets the page's address and that of the session's first page. What cannot be put into an address stays as it is. */
function compileAddress(compiled: CompiledColumns): (values: Values, properties: Properties) => void {
  const domainCell = compiled.cell('domain')
  const pathCell = compiled.cell('path')
  const queryCell = compiled.cell('query')
  const hashCell = compiled.cell('hash')
  const landingPageCell = compiled.cell('landing_page')
  const landingQueryCell = compiled.cell('landing_page_query')
  const landingHashCell = compiled.cell('landing_page_hash')

  return (values, properties) => {
    const query = queryCell(values)
    const hash = hashCell(values)
    const address = pageAddress({ domain: domainCell(values), path: pathCell(values), query, hash })
    const { url, pathname } = address
    setPageAddress(properties, address)
    if (url === undefined) {
      setUnlessNull(properties, 'query', query)
      setUnlessNull(properties, 'hash', hash)
    }

    const landingPage = landingPageCell(values)
    const landingQuery = landingQueryCell(values)
    const landingHash = landingHashCell(values)
    if (landingPage === null) {
      setUnlessNull(properties, 'landing_page_query', landingQuery)
      setUnlessNull(properties, 'landing_page_hash', landingHash)
      return
    }
    const entry = entryUrl(landingPage, landingQuery, landingHash)
    properties.set('$session_entry_url', entry)
    // A row that names its own page, even without the domain, was not necessarily on the session's first one.
    if (url === undefined && pathname === undefined) properties.set('$current_url', entry)
  }
}

function setUnlessNull(properties: Properties, name: string, text: string | null): void {
  if (text !== null) properties.set(name, text)
}

/** Whoever came to a page from nowhere came directly. */
function compileDirect(
  compiled: CompiledColumns,
): (values: Values, properties: Properties, library: string | null) => void {
  const hasReferrer = compiled.has('referrer')
  const isWeb = compileIsWeb(compiled)
  return (values, properties, library) => {
    if (!hasReferrer || properties.get('$referrer') !== undefined || isWeb(values, library) !== true) return
    properties.set('$referrer', '$direct')
    properties.set('$referring_domain', '$direct')
  }
}

/** Null where nothing of the row tells. */
function compileIsWeb(compiled: CompiledColumns): (values: Values, library: string | null) => boolean | null {
  const domainCell = compiled.cell('domain')
  const browserCell = compiled.cell('browser')
  return (values, library) =>
    library !== null
      ? library.toLowerCase() === 'web'
      : domainCell(values) !== null || browserCell(values) !== null || null
}
