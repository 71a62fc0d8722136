import type { Values } from '@heapferry/domain'
import type { CompiledColumns } from './compile-columns.ts'
import type { Treatments } from './column-treatments.ts'
import type { Properties } from './properties.ts'
import { remembered } from './remembered.ts'
import { storableText } from './storable-text.ts'

/** The parameters of an address that posthog-js (1.449) makes properties of. */
export const campaignParameters: readonly string[] = (
  'utm_source utm_medium utm_campaign utm_content utm_term gad_source mc_cid gclid gclsrc dclid gbraid wbraid fbclid ' +
  'msclkid twclid li_fat_id igshid ttclid rdt_cid epik qclid sccid oppref bfcid irclid _kx'
).split(' ')

const campaignNames: ReadonlySet<string> = new Set(campaignParameters)

/**
 * Sets what the page's address says of the campaign that led to it, else that of the session's first page: posthog-js
 * remembers the parameters of an address until another one has any. What the row says itself stays, and a parameter that
 * the mapping has a rule for is only what the rule makes of its column.
 */
export function compileCampaign(
  compiled: CompiledColumns,
  treatments: Treatments,
): (values: Values, properties: Properties) => void {
  if (!['path', 'query', 'landing_page', 'landing_page_query'].some(compiled.has)) return () => {}
  const pathCell = compiled.cell('path')
  const queryCell = compiled.cell('query')
  const landingPageCell = compiled.cell('landing_page')
  const landingQueryCell = compiled.cell('landing_page_query')
  // Every row of a session has the same first page.
  const ofFirstPage = remembered((query) => ({ campaign: campaignOf(query) }))
  return (values, properties) => {
    const query = queryCell(values) ?? queryIn(pathCell(values))
    let campaign = query === null ? undefined : campaignOf(query)
    if (campaign === undefined) {
      const firstQuery = landingQueryCell(values) ?? queryIn(landingPageCell(values))
      campaign = firstQuery === null ? undefined : ofFirstPage(firstQuery).campaign
    }
    if (campaign === undefined) return
    for (const [name, value] of campaign) {
      if (properties.get(name) === undefined && !treatments.has(name)) properties.set(name, value)
    }
  }
}

type Campaign = readonly [name: string, value: string][]

/** The query that Heap's oldest rows have in the page; null where there is none. */
function queryIn(page: string | null): string | null {
  const start = page?.indexOf('?') ?? -1
  return page === null || start === -1 || page.lastIndexOf('#', start) !== -1 ? null : page.slice(start)
}

/**
 * The campaign parameters of a query as posthog-js reads them: names letter by letter, the first of a name, `+` as a
 * space, an escape that is none as it is, and an empty one as none. Undefined where there is none.
 */
function campaignOf(query: string): Campaign | undefined {
  const hash = query.indexOf('#')
  const end = hash === -1 ? query.length : hash
  let at = 0
  while (at < end && query[at] === '?') at++
  const found = new Map<string, string>()
  while (at < end) {
    const next = query.indexOf('&', at)
    const stop = next === -1 || next > end ? end : next
    const equals = query.indexOf('=', at)
    const hasValue = equals !== -1 && equals < stop
    const name = query.slice(at, hasValue ? equals : stop)
    if (campaignNames.has(name) && !found.has(name))
      found.set(name, hasValue ? decoded(query.slice(equals + 1, stop)) : '')
    at = stop + 1
  }
  if (found.size === 0) return undefined
  const campaign = [...found].filter(([, value]) => value !== '')
  return campaign.length === 0 ? undefined : campaign
}

function decoded(text: string): string {
  if (!/[%+]/.test(text)) return text
  const spaced = text.replaceAll('+', ' ')
  try {
    return storableText(decodeURIComponent(spaced))
  } catch {
    return spaced
  }
}
