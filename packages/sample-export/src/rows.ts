import type { PageVisit, SamplePerson, Visit } from './people.ts'
import { timeText } from './csv-file.ts'
import type { Random } from './random.ts'
import type { Row } from './traps.ts'
import { buttons } from './vocabulary.ts'

const host = 'www.coolapp.example'

const keyColumns = ['user_id', 'event_id', 'session_id', 'time'] as const
const deviceColumns = ['library', 'platform', 'device_type', 'country', 'region', 'city', 'ip'] as const
const visitColumns = [
  'referrer',
  'landing_page',
  'landing_page_query',
  'landing_page_hash',
  'browser',
  'utm_source',
  'utm_medium',
  'utm_campaign',
  'utm_term',
  'utm_content',
] as const
const pageColumns = ['domain', 'path', 'query', 'hash', 'title'] as const

export const sessionColumns = [...keyColumns, ...deviceColumns, 'device', ...visitColumns]

export const pageviewColumns = [
  ...keyColumns,
  'session_time',
  'type',
  ...deviceColumns,
  'device',
  'carrier',
  ...visitColumns,
  'search_keyword',
  ...pageColumns,
  'heap_previous_page',
  'view_controller',
  'app_name',
  'app_version',
  'screen_dimensions',
  'user_agent',
  'experiment_group',
]

/** As Heap's S3 delivery orders them, time last: the least an event table has. */
export const signupColumns = [
  'event_id',
  'user_id',
  'session_id',
  'type',
  ...deviceColumns,
  'target_text',
  'promo_code',
  'time',
]

export const orderColumns = [
  ...keyColumns,
  'type',
  ...deviceColumns,
  ...visitColumns,
  ...pageColumns,
  'order_id',
  'order_total',
  'currency',
  'is_first_order',
  'gift_note',
]

export const clickColumns = [...keyColumns, 'type', ...deviceColumns, 'browser', 'path', 'href', 'target_text']

export const benchColumns = [
  ...keyColumns,
  'type',
  ...deviceColumns,
  'referrer',
  'landing_page',
  'landing_page_query',
  'browser',
  'utm_source',
  'utm_medium',
  'utm_campaign',
  'domain',
  'path',
  'query',
  'title',
  'heap_previous_page',
  'user_agent',
]

/** What every row of a visit repeats. */
export function visitCells(visit: Visit): Row {
  const { person, campaign } = visit
  const { device } = person
  const [country, region, city] = person.place
  return {
    user_id: visit.userId,
    session_id: visit.sessionId,
    session_time: timeText(visit.startMs),
    library: device.library,
    platform: device.platform,
    browser: device.browser,
    device_type: device.deviceType,
    device: device.device,
    carrier: device.carrier,
    user_agent: device.userAgent,
    country,
    region,
    city,
    ip: person.ip,
    referrer: campaign.referrer,
    // Without a scheme, as Heap has it; its query and hash are columns of their own.
    landing_page: device.library === 'web' ? host + visit.landing.path : null,
    landing_page_query: campaign.query,
    landing_page_hash: visit.landingHash,
    utm_source: campaign.source,
    utm_medium: campaign.medium,
    utm_campaign: campaign.campaign,
    utm_term: campaign.term,
    utm_content: campaign.content,
  }
}

/** A page of the web, or a screen of an app: those have no address. */
export function pageCells(visit: Visit, at: PageVisit): Row {
  if (visit.person.device.library !== 'web')
    return {
      type: 'view page',
      view_controller: at.screen,
      app_name: 'Cool App',
      app_version: '4.12.0',
      screen_dimensions: '1179x2556',
    }
  return {
    type: 'view page',
    domain: host,
    path: at.page.path,
    query: at.query,
    hash: at.hash,
    title: at.page.title,
    heap_previous_page: at.previous,
  }
}

export function signupCells(random: Random): Row {
  return { type: 'click', target_text: random.pick(buttons), promo_code: random.chance(0.2) ? '00123' : null }
}

export function orderCells(random: Random): Row {
  return {
    type: 'submit',
    // Heap delivers numbers and booleans as text; the leading zeros of an order's number belong to it.
    order_id: String(random.below(10_000_000)).padStart(8, '0'),
    order_total: `${random.below(400)}.${random.pick(['00', '50', '90'])}`,
    currency: random.pick(['USD', 'EUR', 'GBP']),
    is_first_order: String(random.chance(0.4)),
    gift_note: random.chance(0.1) ? 'For Ann, with love' : null,
  }
}

export function clickCells(random: Random): Row {
  return { type: 'click', target_text: random.pick(buttons), href: random.chance(0.5) ? '/signup' : null }
}

const customColumns = Array.from({ length: 27 }, (_, index) => `trait_${String(index + 1).padStart(2, '0')}`)

export const userColumns = [
  'user_id',
  'identity',
  'handle',
  'email',
  'joindate',
  'last_modified',
  // Custom properties whose names Heap's own columns have taken get an underscore.
  '_email',
  '_user_id',
  'initial_browser_type',
  'initial_marketing_channel',
  'plan',
  'company',
  'seats',
  ...customColumns,
]

export function userRow(person: SamplePerson, random: Random): Row {
  const isKnown = person.identity !== null
  const joined = timeText(person.joinedAtMs)
  const row: Row = {
    user_id: person.userId,
    identity: person.identity,
    handle: isKnown && random.chance(0.5) ? person.identity : null,
    email: isKnown ? person.identity : null,
    joindate: joined,
    last_modified: timeText(person.joinedAtMs + random.below(86_400_000)),
    _email: isKnown && random.chance(0.3) ? `billing+${person.identity}` : null,
    _user_id: isKnown ? String(random.below(100_000)).padStart(6, '0') : null,
    initial_browser_type: person.device.browser?.split(' ')[0] ?? null,
    initial_marketing_channel: random.pick(['Direct', 'Organic Search', 'Paid Search', 'Email']),
    plan: isKnown ? random.pick(['free', 'pro', 'team']) : null,
    company: isKnown && random.chance(0.6) ? random.pick(['Acme, Inc.', 'Globex', 'Initech']) : null,
    seats: isKnown ? String(1 + random.below(50)) : null,
  }
  for (const column of customColumns) if (random.chance(0.06)) row[column] = `value ${random.below(100)}`
  return row
}
