import { type FoundSession, enrichesFrom, type Values } from '@heapferry/domain'
import { campaignParameters, compileCampaign } from './campaign.ts'
import { treatmentsOf, type Treatments } from './column-treatments.ts'
import { compileColumns } from './compile-columns.ts'
import type { ConversionContext } from './context.ts'
import { knownColumns } from './known-columns.ts'
import { columnNulls } from './nulls.ts'
import { entryUrl, pageAddress, setPageAddress } from './page-address.ts'
import { Properties } from './properties.ts'
import { pageColumns, sessionColumns } from './session-rows.ts'

/** One of these says what all of its group say: parts of two campaigns, or of two browsers, are none. */
const groups: readonly (readonly string[])[] = [
  ['$referrer', '$referring_domain'],
  ['$session_entry_url', 'landing_page_query', 'landing_page_hash'],
  campaignParameters,
  ['$os', '$os_version', 'heap_platform'],
  ['$browser', '$browser_version', 'heap_browser', 'heap_browser_version'],
]

const groupOf: ReadonlyMap<string, readonly string[]> = new Map(
  groups.flatMap((group) => group.map((name) => [name, group] as const)),
)

/** What decides what is added to a row. */
export interface DerivingRow {
  isNative: boolean
  /** Null where the row does not tell. */
  isWeb: boolean | null
  /** It is a view of a page or screen itself. */
  isPageview: boolean
}

/**
 * Adds what is known of a row's session, and of the page, as the columns would have said it in the row itself: what the
 * mapping makes of a column here or in the table that it comes from, it makes of it. What the row says stays. The names of
 * what was added are in `heap_derived`.
 */
export function compileDerived(
  context: ConversionContext,
  treatments: Treatments,
): (session: FoundSession, properties: Properties, row: DerivingRow) => void {
  const { mapping } = context
  const ofSession = enrichesFrom(mapping, 'sessions') ? compileOfSession(context, treatments) : null
  const ofPage = enrichesFrom(mapping, 'pages') ? compileOfPage(context, treatments) : null
  return (session, properties, row) => {
    const derived: string[] = []
    if (ofSession && session.cells !== null) {
      const found = ofSession(session.cells, row)
      const own = new Set(properties.entries().map(([name]) => name))
      for (const [name, value] of found) {
        if ((groupOf.get(name) ?? [name]).some((one) => own.has(one))) continue
        properties.set(name, value)
        derived.push(name)
      }
    }
    // A row with a part of an address names its own page; the landing page stands in where none is named.
    const namesPage = properties.get('$host') !== undefined || properties.get('$pathname') !== undefined
    if (ofPage && session.page !== null && !row.isPageview && !namesPage) {
      for (const [name, value] of ofPage(session.page)) {
        if (properties.get(name) !== undefined && name !== '$current_url') continue
        properties.set(name, value)
        derived.push(name)
      }
    }
    if (derived.length > 0) properties.set('heap_derived', derived)
  }
}

function compileOfSession(context: ConversionContext, treatments: Treatments) {
  const both = withThoseOf('sessions', context, treatments)
  const compiled = compileColumns(sessionColumns, {
    consumed: new Set(['landing_page', 'landing_page_query', 'landing_page_hash']),
    known: knownColumns((name) => name),
    treatments: both,
    nulls: columnNulls({ kind: 'sessions', name: 'sessions' }, context.mapping),
  })
  const setCampaign = compileCampaign(compiled, both)
  const landingPageCell = compiled.cell('landing_page')
  const landingQueryCell = compiled.cell('landing_page_query')
  const landingHashCell = compiled.cell('landing_page_hash')
  const browserCell = compiled.cell('browser')
  const referrerIndex = compiled.has('referrer') ? sessionColumns.indexOf('referrer') : -1

  const propertiesOf = (cells: Values): [string, unknown][] => {
    const properties = new Properties()
    compiled.describe(cells, properties)
    const page = landingPageCell(cells)
    if (page !== null)
      properties.set('$session_entry_url', entryUrl(page, landingQueryCell(cells), landingHashCell(cells)))
    setCampaign(cells, properties)
    return properties.entries()
  }
  // Rows of a slice that are of one session share its cells.
  const known = new WeakMap<Values, [string, unknown][]>()
  return (cells: Values, { isNative, isWeb }: DerivingRow): [string, unknown][] => {
    const found = known.get(cells) ?? propertiesOf(cells)
    known.set(cells, found)
    const isOfWeb = isWeb ?? (landingPageCell(cells) !== null || browserCell(cells) !== null)
    const isDirect = cells[referrerIndex] === '' && isOfWeb && !isNative
    return isDirect ? [['$referrer', '$direct'], ['$referring_domain', '$direct'], ...found] : found
  }
}

function compileOfPage(context: ConversionContext, treatments: Treatments) {
  const compiled = compileColumns(pageColumns, {
    consumed: new Set(['domain', 'path', 'query', 'hash']),
    known: new Map(),
    treatments: withThoseOf('pageviews', context, treatments),
    nulls: columnNulls({ kind: 'pageviews', name: 'pageviews' }, context.mapping),
  })
  const [domainCell, pathCell, queryCell, hashCell] = ['domain', 'path', 'query', 'hash'].map(compiled.cell)
  const cellsOf = (cells: Values) => ({
    domain: domainCell?.(cells) ?? null,
    path: pathCell?.(cells) ?? null,
    query: queryCell?.(cells) ?? null,
    hash: hashCell?.(cells) ?? null,
  })
  return (cells: Values): [string, unknown][] => {
    const properties = new Properties()
    setPageAddress(properties, pageAddress(cellsOf(cells)))
    compiled.describe(cells, properties)
    return properties.entries()
  }
}

/** What is dropped in either table is dropped; otherwise the row's table decides, where anything is said for it. */
function withThoseOf(table: string, context: ConversionContext, ofRow: Treatments): Treatments {
  const all = treatmentsOf(context, [table])
  for (const [column, treatment] of ofRow) if (all.get(column)?.kind !== 'drop') all.set(column, treatment)
  return all
}
