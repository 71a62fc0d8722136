import { createHash } from 'node:crypto'
import { hashes, type Mapping } from '@heapferry/domain'

/** First 12 hex digits of a SHA-256 of what a mapping says, in whatever order: who has the same one sends the same. */
export function mappingFingerprint(mapping: Mapping): string {
  return createHash('sha256').update(canonical(mapping)).digest('hex').slice(0, 12)
}

/** One thing that two mappings say differently. */
export interface MappingChange {
  /** `tables.signup.event` */
  key: string
  /** As in the file; undefined where nothing is said. */
  before: unknown
  after: unknown
  effect: MappingEffect
}

/** What of the events depends on it. */
type MappingEffect =
  /** How files are read, and so everything. */
  | 'reading'
  /** With which uuids rows without a number of their own are sent: with the salt, or without. */
  | 'uuids'
  | 'names'
  /** The distinct_ids of people. */
  | 'people'
  /** Which rows are sent. */
  | 'choice'
  | 'properties'

export function mappingChanges(before: Mapping, after: Mapping): MappingChange[] {
  const changes = differences([], before, after)
  if (hashes(before) === hashes(after)) return changes
  return changes.map((change) => (isAboutHashing(change) ? { ...change, effect: 'uuids' } : change))
}

function isAboutHashing({ before, after, effect }: MappingChange): boolean {
  return (
    effect === 'properties' && [before, after].some((rule) => rule === 'hash' || (isMap(rule) && rule.as === 'hash'))
  )
}

/** What a change means for events that PostHog holds already. */
export function mappingChangeText(changes: readonly MappingChange[]): string {
  const effects = new Set(changes.map(({ effect }) => effect))
  const sentences = [
    effects.has('reading') && 'Rows may be read otherwise and get other uuids.',
    effects.has('uuids') &&
      'Rows without event_id get other uuids, because those are made with the salt where a mapping hashes.',
    effects.has('names') && 'Events may get other names.',
    effects.has('people') && 'People get other distinct_ids.',
  ].filter((sentence) => sentence !== false)
  if (sentences.length > 0) return `${sentences.join(' ')} PostHog takes such events for new ones and keeps both.`
  return 'Uuids, names, times and distinct_ids stay the same: PostHog takes an event that is sent again for the same one.'
}

/** `signup → Signed up`, for a sentence. */
export function changeText({ key, before, after }: MappingChange): string {
  return `${key}: ${shown(before)} → ${shown(after)}`
}

function differences(path: readonly string[], before: unknown, after: unknown): MappingChange[] {
  if (canonical(before) === canonical(after)) return []
  if (isMap(before) && isMap(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)])
    return [...keys].flatMap((key) => differences([...path, key], before[key], after[key]))
  }
  // A whole section that came or went is told by what is in it.
  if (isMap(before) && after === undefined && !isRule(path)) return differences(path, before, {})
  if (isMap(after) && before === undefined && !isRule(path)) return differences(path, {}, after)
  return [{ key: path.join('.'), before, after, effect: effectOf(path) }]
}

/** Rules of columns and conditions are told as one thing. */
function isRule(path: readonly string[]): boolean {
  return ['properties', 'where'].includes(path.at(-2) ?? '')
}

function effectOf(path: readonly string[]): MappingEffect {
  const [section = '', key = ''] = path[0] === 'tables' ? path.slice(2) : path
  // They name the events of the one-time export.
  if (section === 'properties' && (key === 'type' || key === 'object')) return 'names'
  return effects.get(section) ?? 'properties'
}

const effects: ReadonlyMap<string, MappingEffect> = new Map([
  ['csv', 'reading'],
  ['json', 'reading'],
  ['columns', 'reading'],
  ['files', 'reading'],
  ['kind', 'reading'],
  ['event', 'names'],
  ['autocapture', 'names'],
  ['identity', 'people'],
  ['null', 'people'],
  ['filter', 'choice'],
  ['where', 'choice'],
])

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** JSON with sorted keys, without what is undefined. */
function canonical(value: unknown): string {
  return JSON.stringify(value, withSortedKeys) ?? ''
}

function withSortedKeys(_key: string, value: unknown): unknown {
  return isMap(value) ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))) : value
}

const shownChars = 60

function shown(value: unknown): string {
  if (value === undefined) return '(nothing)'
  const text = typeof value === 'string' && /^[\w $.*:-]+$/.test(value) ? value : (JSON.stringify(value) ?? '')
  return text.length > shownChars ? `${text.slice(0, shownChars - 1)}…` : text
}
