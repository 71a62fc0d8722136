/** The tables whose names are Heap's and not a user's, longer names first. */
export const knownTables = ['user_migrations', 'all_events', 'pageviews', 'sessions', 'users'] as const
const helpers = ['_sync_info', '_event_metadata'] as const
export type KnownTable = (typeof knownTables)[number] | (typeof helpers)[number]

/** One of Heap's names within another: `main_production`, `users`, `_2023_05`. */
export interface KnownName {
  table: KnownTable
  prefix: string
  /** The prefix ends in a sign that no name of Heap has: a dash, a space. */
  isApart: boolean
  ending: string
}

/** What writers and people put behind a name of Heap's; anything else makes another name of it (`users_clicked`). */
const words = 'all|backup|clean|copy|csv|data|dump|export|exported|exports|final|full|new|of|old|part|raw|table|unload'
const ending = String.raw`(?:_+(?:\d+|v\d+|${words}|\d{8}t\d{6}z?)|\d+)*_*`
const names = [
  ...knownTables.map((table) => ({ table, text: table })),
  ...helpers.map((table) => ({ table, text: `_*${table.slice(1)}` })),
].map(({ table, text }) => ({ table, pattern: new RegExp(`^(?:(.+?)_+)?${text}(${ending})$`) }))

/** As Fivetran calls them; an event of a user may be called so too. */
export const singular: ReadonlyMap<string, KnownTable> = new Map([
  ['user', 'users'],
  ['user_migration', 'user_migrations'],
  ['session', 'sessions'],
  ['pageview', 'pageviews'],
])

/** @param name lower case, without a writer's marks */
export function knownIn(name: string): KnownName | null {
  const flat = name.replaceAll(/[-\s()]/g, '_')
  for (const { table, pattern } of names) {
    const found = pattern.exec(flat)
    if (!found) continue
    const prefix = found[1] ?? ''
    return { table, prefix, isApart: /[-\s]/.test(name.charAt(prefix.length)), ending: found[2] ?? '' }
  }
  const table = singular.get(flat)
  return table ? { table, prefix: '', isApart: false, ending: 'singular' } : null
}

/** Whether nothing but that table can be meant: BigQuery has other rows in those called `_raw`. */
export function isCertain({ ending: behind }: KnownName): boolean {
  return behind !== 'singular' && !behind.includes('_raw')
}
