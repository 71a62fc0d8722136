import { z } from 'zod'

/** Phase 1 joins ids to people, phase 2 sends what they did: see design of identities in ARCHITECTURE.md. */
export const Phase = z.enum(['identities', 'events'])
export type Phase = z.infer<typeof Phase>

export const phases: readonly Phase[] = ['identities', 'events']

/** A text with which the writer of a table says that there is nothing; `columns`: where, all without it. */
const NullText = z.object({ text: z.string(), columns: z.array(z.string()).optional() })
export type NullText = z.infer<typeof NullText>

/** As the first rows showed when the run was planned: nobody looks again, so that all rows are read alike. */
const nulls = z.array(NullText).optional()

/** What a table of a Heap export is, and so what becomes of its rows. Names are lower case. */
export const Table = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('users'),
    name: z.string(),
    /** Of Heap Connect for S3: which dump the file came in. A row is superseded by one of the same id in a later dump. */
    dump: z.number().int().optional(),
    nulls,
  }),
  z.object({ kind: z.literal('user_migrations'), name: z.string() }),
  /** The rows of a table of people, read once more for what they say of groups of one type; `of`: the name of that table. */
  z.object({
    kind: z.literal('groups'),
    name: z.string(),
    group: z.string(),
    of: z.string(),
    dump: z.number().int().optional(),
    nulls,
  }),
  z.object({ kind: z.literal('pageviews'), name: z.string(), nulls }),
  z.object({ kind: z.literal('sessions'), name: z.string() }),
  z.object({ kind: z.literal('all_events'), name: z.string() }),
  z.object({ kind: z.literal('event'), name: z.string(), nulls }),
  /** Events of Heap's one-time export, each named by its own `type`. */
  z.object({ kind: z.literal('raw_events'), name: z.string(), nulls }),
  /** Records that join a user id to an identity; the one-time export has them among its events. */
  z.object({ kind: z.literal('identify'), name: z.string() }),
  /** What heapferry found to be the first of people, in files of its own: see decision 22. */
  z.object({ kind: z.literal('first_touch'), name: z.string() }),
  z.object({
    kind: z.literal('helper'),
    name: z.string(),
    /** Whose purpose it is that nothing of it is sent; absent where only its columns say that it holds no actions. */
    leftOutBy: z.enum(['heap', 'mapping']).optional(),
  }),
])
export type Table = z.infer<typeof Table>
export type TableKind = Table['kind']

/** The table, written so; of kinds that become no properties as it is. */
export function withNulls(table: Table, texts: readonly NullText[] | undefined): Table {
  if (texts === undefined) return table
  switch (table.kind) {
    case 'users':
    case 'groups':
    case 'pageviews':
    case 'event':
    case 'raw_events':
      return { ...table, nulls: [...texts] }
    case 'user_migrations':
    case 'sessions':
    case 'all_events':
    case 'identify':
    case 'first_touch':
    case 'helper':
      return table
  }
}

const builtIn = ['users', 'user_migrations', 'pageviews', 'sessions', 'all_events'] as const
const helpers: ReadonlySet<string> = new Set(['_sync_info', '_event_metadata'])

/** Whether a table tells of other tables, and Heap writes it. */
export function isHelperOfHeap(name: string): boolean {
  return helpers.has(name.toLowerCase())
}

/**
 * Heap names its built-in tables the same in every warehouse. Of all others only those with a person and a time hold
 * events: segments and helper tables do not.
 */
export function tableOf(name: string, columns: readonly string[]): Table {
  const lower = name.toLowerCase()
  const known = builtIn.find((table) => table === lower)
  if (known) return { kind: known, name: lower }
  if (helpers.has(lower)) return { kind: 'helper', name: lower, leftOutBy: 'heap' }
  return { kind: columns.includes('user_id') && columns.includes('time') ? 'event' : 'helper', name: lower }
}

export function phaseOf(kind: TableKind): Phase {
  switch (kind) {
    case 'users':
    case 'user_migrations':
    case 'groups':
    case 'identify':
    case 'first_touch':
      return 'identities'
    case 'pageviews':
    case 'sessions':
    case 'all_events':
    case 'event':
    case 'raw_events':
    case 'helper':
      return 'events'
  }
}

/** Whether rows of a table tell who is who. */
export function tellsWhoIsWho(kind: TableKind): boolean {
  return phaseOf(kind) === 'identities' && kind !== 'first_touch'
}

/** Heap's columns of ids, in whatever table. */
export const idColumns: ReadonlySet<string> = new Set([
  'user_id',
  'event_id',
  'session_id',
  'from_user_id',
  'to_user_id',
])

/** Heap's columns of times, in whatever table. */
export const timeColumns: ReadonlySet<string> = new Set([
  'time',
  'session_time',
  'joindate',
  'last_modified',
  'lastseen',
  'identity_time',
])

/** The columns without which no row of the table can become anything. */
export function requiredColumns(kind: TableKind): readonly string[] {
  switch (kind) {
    case 'users':
      return ['user_id']
    case 'user_migrations':
      return ['from_user_id', 'to_user_id']
    case 'identify':
      return ['user_id', 'identity']
    case 'pageviews':
    case 'event':
    case 'raw_events':
      return ['user_id', 'time']
    case 'groups':
    case 'sessions':
    case 'all_events':
    case 'first_touch':
    case 'helper':
      return []
  }
}

/**
 * Columns that tools of data frames write for the numbers of rows: without a name, and as they call one that they read
 * again.
 */
export function isRowIndex(column: string): boolean {
  return column === '' || /^__index_level_\d+__$|^unnamed: \d+(?:\.\d+)?$/.test(column)
}
