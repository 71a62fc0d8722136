/** The tables whose names are Heap's and not a user's, longer names first. */
const known = ['user_migrations', 'all_events', 'pageviews', 'sessions', 'users'] as const
const helpers = ['_sync_info', '_event_metadata'] as const
export type KnownTable = (typeof known)[number] | (typeof helpers)[number]

/** One of Heap's names within another: `main_production`, `users`, `_2023_05`. */
export interface KnownName {
  table: KnownTable
  prefix: string
  ending: string
}

/** What writers and people put behind a name of Heap's; anything else makes another name of it (`users_clicked`). */
const ending = String.raw`(?:[_]+(?:\d+|v\d+|all|backup|clean|copy|csv|data|dump|export|exported|exports|final|full|new|old|part|raw|table|unload|\d{8}t\d{6}z?)|\d+)*_*`
const names = known.map((table) => ({ table, pattern: new RegExp(`^(?:(.+?)_+)?${table}(${ending})$`) }))
const helperNames = helpers.map((table) => ({
  table,
  pattern: new RegExp(`^(?:(.+?)_+)?_*${table.slice(1)}(${ending})$`),
}))

/** @param name lower case, without a writer's marks */
export function knownIn(name: string): KnownName | null {
  const flat = name.replaceAll(/[-\s]/g, '_')
  for (const { table, pattern } of [...names, ...helperNames]) {
    const found = pattern.exec(flat)
    if (found) return { table, prefix: found[1] ?? '', ending: found[2] ?? '' }
  }
  return null
}
