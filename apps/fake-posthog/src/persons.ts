import type { CapturedEvent } from './capture.ts'

/** A person as PostHog would have them. The same object for all distinct_ids of a person. */
export interface Person {
  /** Once true, no merge makes this person a part of another. */
  isIdentified: boolean
  /** `YYYY-MM-DDTHH:MM:SS.sssZ` */
  createdAt: string
  /** Only kept with `keep: 'events'`. */
  properties?: Record<string, unknown>
}

interface PersonCounts {
  persons: number
  /** Persons who became a part of another. An id that only came to a person is none. */
  merges: number
  refusedMerges: Record<MergeRefusal, number>
}

/** Why PostHog stores a merge's event, but does not merge. */
type MergeRefusal = 'illegal_distinct_id' | 'already_identified' | 'alias_is_no_text'

export interface Persons {
  /** Undefined for a distinct_id that no event has had. */
  personOf(distinctId: string): Person | undefined
  counts(): PersonCounts
  /** Once for each event that is stored. */
  add(event: CapturedEvent): void
}

/**
 * PostHog's person processing, as far as distinct_ids, merges, `$set`, `$set_once` and what it lifts from other properties
 * go. Events without a person profile make nobody a person.
 */
export function createPersons(keep: 'ids' | 'events'): Persons {
  const byDistinctId = new Map<string, Entry>()
  const refusedMerges = { illegal_distinct_id: 0, already_identified: 0, alias_is_no_text: 0 }
  let persons = 0
  let merges = 0

  function find(distinctId: string): Entry | undefined {
    const entry = byDistinctId.get(distinctId)
    return entry && survivorOf(entry)
  }

  function create(distinctId: string, createdAt: string): Entry {
    const entry: Entry = { isIdentified: false, createdAt, ...(keep === 'events' && { properties: {} }) }
    byDistinctId.set(distinctId, entry)
    persons++
    return entry
  }

  /** The person of `into` after `alias` was merged into it, or could not be. */
  function merge(alias: string, into: string, { event, timestamp }: CapturedEvent): Entry {
    if (isIllegal(alias) || isIllegal(into)) {
      refusedMerges.illegal_distinct_id++
      return find(into) ?? create(into, timestamp)
    }
    const source = find(alias)
    const target = find(into) ?? source ?? create(into, timestamp)
    byDistinctId.set(into, target)
    if (!source) byDistinctId.set(alias, target)
    else if (source !== target) {
      if (source.isIdentified && event !== '$merge_dangerously') refusedMerges.already_identified++
      else absorb(source, target)
    }
    target.isIdentified = true
    return target
  }

  function absorb(source: Entry, target: Entry): void {
    if (source.createdAt < target.createdAt) target.createdAt = source.createdAt
    if (target.properties) target.properties = { ...source.properties, ...target.properties }
    source.mergedInto = target
    delete source.properties
    persons--
    merges++
  }

  return {
    add(event) {
      const { distinct_id, timestamp, properties } = event
      if (properties.$process_person_profile === false) return
      const alias = aliasOf(event)
      if (alias !== undefined && typeof alias !== 'string') {
        // PostHog throws such an event away after it has accepted it.
        refusedMerges.alias_is_no_text++
        return
      }
      const person =
        alias === undefined || alias === distinct_id
          ? (find(distinct_id) ?? create(distinct_id, timestamp))
          : merge(alias, distinct_id, event)
      if (person.properties && properties['$process_person_profile'] !== false)
        person.properties = updated(person.properties, event)
    },
    personOf: find,
    counts: () => ({ persons, merges, refusedMerges: { ...refusedMerges } }),
  }
}

/** What PostHog takes from any event for its person, as it is and once under its initial name. */
const lifted = (
  '$app_build $app_name $app_namespace $app_version $browser $browser_version $device_type $current_url $pathname $os ' +
  '$os_version $referring_domain $referrer $screen_height $screen_width $viewport_height $viewport_width $raw_user_agent ' +
  'utm_source utm_medium utm_campaign utm_content utm_name utm_term gclid gad_source gclsrc dclid gbraid wbraid fbclid ' +
  'msclkid twclid li_fat_id mc_cid igshid ttclid rdt_cid irclid _kx epik qclid sccid'
).split(' ')

const aboutPeople: ReadonlySet<string> = new Set(['$identify', '$create_alias', '$merge_dangerously', '$set'])

/** Whatever an event says of its person goes before what is lifted; nothing that is null is lifted as the first. */
function updated(before: Record<string, unknown>, { event, properties }: CapturedEvent): Record<string, unknown> {
  const set: Record<string, unknown> = { ...objectOf(properties['$set']) }
  const once: Record<string, unknown> = { ...objectOf(properties['$set_once']) }
  for (const name of lifted) {
    if (!(name in properties)) continue
    const value = properties[name]
    const initial = `$initial_${name.replace('$', '')}`
    if (!(name in set)) set[name] = value
    if (value !== null && value !== undefined && !(initial in once)) once[initial] = value
  }
  // What changes with every page is not worth an update by itself.
  const isWorth = (name: string): boolean =>
    aboutPeople.has(event) || before[name] === undefined || !(lifted.includes(name) || name.startsWith('$geoip_'))
  const newOnce = Object.entries(once).filter(([name]) => before[name] === undefined)
  const changed = Object.keys(set).some((name) => before[name] !== set[name] && isWorth(name))
  return newOnce.length > 0 || changed ? { ...before, ...Object.fromEntries(newOnce), ...set } : before
}

interface Entry extends Person {
  mergedInto?: Entry
}

function survivorOf(entry: Entry): Entry {
  let survivor = entry
  while (survivor.mergedInto) survivor = survivor.mergedInto
  // Or a person who was merged a million times would be found in a million steps.
  for (let here = entry; here.mergedInto && here.mergedInto !== survivor; ) {
    const next = here.mergedInto
    here.mergedInto = survivor
    here = next
  }
  return survivor
}

/** The id that an event merges into its distinct_id; undefined for an event that is about one id. */
function aliasOf({ event, properties }: CapturedEvent): unknown {
  switch (event) {
    case '$create_alias':
    case '$merge_dangerously':
      return properties['alias'] ?? null
    case '$identify':
      return properties['$anon_distinct_id']
    default:
      return undefined
  }
}

const illegalInAnyCase = /^(?:anonymous|guest|distinctid|distinct_id|id|not_authenticated|email|undefined|true|false)$/i
const illegal = /^(?:\[object Object\]|NaN|None|none|null|0|undefined)$/

/** What PostHog merges with nobody: ids that broken integrations send for everybody. */
function isIllegal(distinctId: string): boolean {
  const bare = /^(['"])(.*)\1$/s.exec(distinctId)?.[2] ?? distinctId
  return bare.trim() === '' || illegalInAnyCase.test(bare) || illegal.test(bare)
}

function objectOf(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {}
}
