import type { Values } from '@heapferry/domain'
import type { CompiledColumns } from './compile-columns.ts'
import type { Treatments } from './column-treatments.ts'
import type { Properties } from './known-columns.ts'
import { remembered } from './remembered.ts'
import { storableText } from './storable-text.ts'

/** The parameters of an address that posthog-js (1.449) makes properties of. */
export const campaignParameters: readonly string[] = (
  'utm_source utm_medium utm_campaign utm_content utm_term gad_source mc_cid gclid gclsrc dclid gbraid wbraid fbclid ' +
  'msclkid twclid li_fat_id igshid ttclid rdt_cid epik qclid sccid oppref bfcid irclid _kx'
).split(' ')

const parameter = new RegExp(`(?:^|&)(${campaignParameters.join('|')})(?:=([^&]*))?(?=&|$)`, 'g')

/**
 * Sets what the page's address says of the campaign that led to it, else that of the session's first page: posthog-js
 * remembers the parameters of an address until another one has any. What the row says itself stays, and a parameter that
 * the mapping has a rule for is only what the rule makes of its column.
 */
export function compileCampaign(
  compiled: CompiledColumns,
  treatments: Treatments,
): (values: Values, properties: Properties) => void {
  const pathCell = compiled.cell('path')
  const queryCell = compiled.cell('query')
  const landingPageCell = compiled.cell('landing_page')
  const landingQueryCell = compiled.cell('landing_page_query')
  // Every row of a session has the same first page.
  const ofFirstPage = remembered((address) => ({ campaign: campaignOf(address) }))
  return (values, properties) => {
    const page = addressOf(pathCell(values), queryCell(values))
    let campaign = page === null ? undefined : campaignOf(page)
    if (campaign === undefined) {
      const firstPage = addressOf(landingPageCell(values), landingQueryCell(values))
      campaign = firstPage === null ? undefined : ofFirstPage(firstPage).campaign
    }
    if (campaign === undefined) return
    for (const [name, value] of campaign) {
      if (properties[name] === undefined && !treatments.has(name)) properties[name] = value
    }
  }
}

type Campaign = readonly [name: string, value: string][]

/** As much of an address as has the query; null where there is none. */
function addressOf(page: string | null, query: string | null): string | null {
  if (query !== null) return `?${query}`
  // Heap's oldest rows have it in the page.
  return page !== null && page.includes('?') ? page : null
}

/**
 * The campaign parameters of an address as posthog-js reads them: names letter by letter, the first of a name, `+` as a
 * space, an escape that is none as it is, and an empty one as none. Undefined where there is none.
 */
function campaignOf(address: string): Campaign | undefined {
  const [beforeHash = ''] = address.split('#', 1)
  const start = beforeHash.indexOf('?')
  if (start === -1) return undefined
  const found = new Map<string, string>()
  for (const [, name = '', value = ''] of beforeHash.slice(start).replace(/^\?+/, '').matchAll(parameter)) {
    if (!found.has(name)) found.set(name, decoded(value))
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
