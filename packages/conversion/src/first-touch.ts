import type { Columns, Mapping, Table } from '@heapferry/domain'
import { campaignParameters } from './campaign.ts'
import { withoutConditions } from './column-meanings.ts'
import { compileConverter } from './compile-converter.ts'
import type { ConversionContext } from './context.ts'

/**
 * What PostHog takes from any event for the event's person: as it is, and once under its initial name. As its pipeline has
 * them (nodejs/src/ingestion/common/persons/person-property-utils.ts, November 2026); `$os_name` is left out, which it makes
 * `$os` of.
 */
const liftedCampaign: ReadonlySet<string> = new Set([
  ...campaignParameters.filter((name) => name !== 'oppref' && name !== 'bfcid'),
  'utm_name',
])
const lifted: readonly string[] = [
  ...(
    '$app_build $app_name $app_namespace $app_version $browser $browser_version $device_type $current_url $pathname ' +
    '$os $os_version $referring_domain $referrer $screen_height $screen_width $viewport_height $viewport_width ' +
    '$raw_user_agent'
  ).split(' '),
  ...liftedCampaign,
]

/** posthog-js has the host of the first page, too, among what it knows a person's first by. */
const initialNames: ReadonlyMap<string, string> = new Map(
  [...lifted, '$host'].map((name) => [name, `$initial_${name.replace('$', '')}`]),
)

/** What the address of a page tells beside it. */
const ofAddress = ['$current_url', '$host', '$pathname'] as const

/** Whether a property of people says a place; `$ip` is none. */
export function isPlaceName(name: string): boolean {
  return name.startsWith('$geoip_') && name !== '$geoip_disable'
}

/**
 * Under their initial names, what rows with these columns say of their persons: a row in which the cells are empty says that
 * there was nothing. Found out by converting a row that has everything. Where an address or one campaign is told, all of the
 * kind are.
 */
export function toldNames(table: Table, columns: Columns, context: ConversionContext): string[] {
  const { mapping } = context
  // Every cell says something, those of marks of deleted rows included.
  const unfiltered: Mapping = {
    ...mapping,
    filter: {},
    deleted: 'send',
    tables: withoutConditions(mapping.tables),
  }
  const anyTime = { startedAtMs: Date.UTC(2024, 0, 1), includeRecent: true }
  const convert = compileConverter(table, columns, { ...context, ...anyTime, mapping: unfiltered })
  const conversion = convert(columns.map((column) => cellWith[column] ?? '1'))
  // No row of the table can be one then, as where the mapping gives it a name that is too long.
  if (conversion.kind !== 'event') return []
  const told = new Set(Object.keys(conversion.event.properties))
  if (told.has('$current_url')) for (const name of ofAddress) told.add(name)
  if ([...told].some((name) => liftedCampaign.has(name))) for (const name of liftedCampaign) told.add(name)
  return [...initialNames].filter(([name]) => told.has(name)).map(([, initial]) => initial)
}

type PropertyValues = Record<string, unknown>

/** What of an event's properties was the first of its person, and where that was, each under its initial name. */
export function firstTouchOf(properties: PropertyValues): {
  first: PropertyValues
  places: PropertyValues
} {
  const own = { ...addressOf(properties.$current_url), ...properties }
  const first: PropertyValues = {}
  for (const [name, initial] of initialNames) {
    const value = own[name]
    if (value !== undefined && value !== null) first[initial] = value
  }
  const places = Object.entries(properties).filter(([name]) => isPlaceName(name))
  return { first, places: Object.fromEntries(places.map(([name, value]) => [`$initial_${name.slice(1)}`, value])) }
}

/** Cells that say all they can say; any other text will do for all others. */
const cellWith: Readonly<Record<string, string>> = {
  time: '2023-01-02 03:04:05',
  library: 'web',
  platform: 'Windows 10',
  browser: 'Chrome 120.0',
  country: 'Germany',
  referrer: 'https://a.example/',
  screen_dimensions: '1x1',
  domain: 'a.example',
  path: '/x',
  query: '?utm_source=x',
  landing_page: 'a.example/x',
  landing_page_query: '?utm_source=x',
}

/** Host and path of a page whose address came in one piece, as the first page of a session does. */
function addressOf(url: unknown): PropertyValues {
  const [, host, pathname] = (typeof url === 'string' && /^[a-zA-Z][\w+.-]*:\/\/([^/?#]+)([^?#]*)/.exec(url)) || []
  return { ...(host && { $host: host }), ...(pathname && { $pathname: pathname }) }
}
