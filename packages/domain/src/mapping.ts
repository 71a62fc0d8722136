import { z } from 'zod'
import { TextEncoding } from './export.ts'
import { isSlowPattern } from './file-pattern.ts'
import { namesGivenTwice } from './names-given-twice.ts'
import type { Table } from './table.ts'

/** Why a column cannot be treated otherwise: without it a row would be another event, or none. */
const ofTheEvent: ReadonlyMap<unknown, string> = new Map([
  ['user_id', 'is the distinct_id of every event'],
  ['event_id', 'is what makes an event sent twice one event'],
  ['session_id', 'tells which session an event belongs to'],
  ['time', 'is the timestamp of every event'],
  ['from_user_id', 'joins ids to people'],
  ['to_user_id', 'joins ids to people'],
  ['identity', 'is the distinct_id of people; to hash it say identity: hash at the top'],
])

const ColumnName = z
  .string()
  .min(1, 'expected the name of a column')
  .regex(/^[^A-Z]*$/, 'expected a lower-case column name: heapferry reads all names so')

const TreatedColumn = ColumnName.refine((column) => !ofTheEvent.has(column), {
  error: ({ input }) => `${String(input)} cannot be changed: it ${ofTheEvent.get(input)}`,
})

/** Under these names PostHog, or heapferry itself, puts something else. */
export const reservedNames: ReadonlySet<string> = new Set([
  '$anon_distinct_id',
  '$geoip_disable',
  '$group_set',
  '$groups',
  '$import_job_id',
  '$process_person_profile',
  '$session_id',
  '$set',
  '$set_once',
  '$unset',
  // Assigning it would set no property at all.
  '__proto__',
  'analytics_source',
  'api_key',
  'capture_internal',
  'distinct_id',
  'heap_derived',
  'heap_event_id',
  'heap_session_id',
  'heap_user_id',
  'historical_migration',
  'offset',
  'sent_at',
  'timestamp',
  'token',
  'uuid',
])

const PropertyName = z
  .string()
  .min(1, 'expected the name of a property')
  .max(400, 'expected at most 400 characters')
  .regex(/^[^.]*$/, 'expected a name without dots: PostHog would make a structure of it')
  .refine((name) => !reservedNames.has(name), 'expected another name: PostHog or heapferry itself uses this one')

/** What becomes of a cell's text. */
const As = z.enum(['hash', 'number', 'boolean', 'date'])

/**
 * What becomes of a column instead of what the documentation says of it: nothing, or one property. `keep` is for a table
 * that is an exception from what is said of all tables.
 */
export const ColumnRule = z
  .union(
    [
      z.enum(['keep', 'drop', ...As.options]),
      z
        .strictObject({
          name: PropertyName.optional().describe('The name of the property; else that of the column.'),
          as: As.optional().describe('What becomes of its values; else they stay text.'),
        })
        .refine(({ name, as }) => name !== undefined || as !== undefined, 'expected name, as, or both'),
    ],
    { error: 'expected keep, drop, hash, number, boolean, date, or { name: NAME }' },
  )
  .describe(
    'drop: nothing becomes of the column. hash: HMAC-SHA-256 with HEAPFERRY_HASH_SALT. number, boolean, date: so, where the text can be read so. { name: … }: a property of that name.',
  )
export type ColumnRule = z.infer<typeof ColumnRule>

const ColumnRules = z.record(TreatedColumn, ColumnRule)
const ofColumns = "What becomes of columns, by Heap's name of the column."

const StaticProperties = z.record(
  PropertyName,
  z.union([z.string(), z.number(), z.boolean()], { error: 'expected text, a number, true or false' }),
)
const sameForEveryRow = 'Properties that are the same for every row. What a row itself says under such a name stays.'

const WantedText = z.string().min(1, 'expected text; for empty cells there is exists: false')

/** What the text of a cell has to be. A column that is not there is as an empty cell. */
export const Condition = z
  .strictObject({
    equals: WantedText.optional(),
    not_equals: WantedText.optional(),
    in: z.array(WantedText).min(1, 'expected at least one value').optional(),
    not_in: z.array(WantedText).min(1, 'expected at least one value').optional(),
    exists: z.boolean().optional().describe('Whether there has to be anything in the cell, or nothing.'),
  })
  .refine(
    (condition) => Object.values(condition).filter((wanted) => wanted !== undefined).length === 1,
    'expected one of equals, not_equals, in, not_in and exists',
  )
  .describe('What the text of a cell has to be, letter by letter.')
export type Condition = z.infer<typeof Condition>

const Conditions = z.record(ColumnName, Condition)
const whichRows = 'Conditions by column. A row is sent if all of them hold.'

/** A day (UTC) or a moment. */
const DayOrTime = z
  .string()
  .regex(
    /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?Z)?$/,
    'expected a day such as 2023-01-31 (UTC), or a time such as 2023-01-31T12:00:00Z',
  )
  .refine((text) => {
    const ms = Date.parse(text)
    return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text.slice(0, 10))
  }, 'expected a day that the calendar has')

// PostHog gives an event a column for each, and ignores every further type.
const mostGroupTypes = 5

const GroupType = z
  .string()
  .min(1, 'expected the name of a type of groups')
  .max(400, 'expected at most 400 characters')
  .regex(/^[^.]*$/, 'expected a name without dots: PostHog would make a structure of it')

const Group = z
  .strictObject({
    key: ColumnName.describe('The column that names the group, such as an account, of events and of people.'),
    properties: z
      .array(ColumnName)
      .default([])
      .describe('Columns of users that say something of the group: the newest value of each is sent.'),
  })
  .describe('What kind of group it is: { key: account_id, properties: [plan] }.')

const TablePattern = z
  .string()
  .min(1, 'expected a name')
  .regex(/^[^A-Z]*$/, 'expected lower case: heapferry reads all names so')

const Filter = z
  .strictObject({
    tables: z
      .strictObject({
        include: z.array(TablePattern).min(1, 'expected at least one').optional().describe('Only these.'),
        exclude: z.array(TablePattern).min(1, 'expected at least one').optional().describe('All but these.'),
      })
      .optional()
      .describe('Tables of events by name; * stands for any characters. Of the one-time export types of events.'),
    from: DayOrTime.optional().describe('The first day (UTC) or moment whose events are sent.'),
    to: DayOrTime.optional().describe('The first day (UTC) or moment whose events are not sent any more.'),
    where: Conditions.optional().describe(whichRows),
  })
  .refine(({ from, to }) => from === undefined || to === undefined || Date.parse(from) < Date.parse(to), {
    path: ['to'],
    error: 'expected a time after from',
  })

const EnrichFrom = z.enum(['sessions', 'pages'])

const Enrich = z.union([z.enum(['none', ...EnrichFrom.options]), z.array(EnrichFrom)], {
  error: 'expected none, sessions, pages, or [sessions, pages]',
})

/** By the name of a column in the files, in any case: the name that Heap gives it. */
const RenamedColumns = z.record(z.string().min(1, 'expected the name of a column'), ColumnName)

const FilePattern = z
  .string()
  .min(1, 'expected a file or a pattern')
  .refine((pattern) => !isSlowPattern(pattern), 'expected at most three * in a name: matching more takes long')

const TableName = z.string().regex(/^[^A-Z]+$/, 'expected a lower-case table name')

const NullTexts = z.union([WantedText, z.array(WantedText)], {
  error: 'expected a text, or a list of texts',
})

/** What a person says of how CSV files are written. What is not said, the files tell. */
const CsvMapping = z
  .strictObject({
    delimiter: z
      .string()
      .regex(
        /^[^\0\r\n"\\\uD800-\uDFFF]$/,
        'expected one character, such as ";", or in double quotes "\\t" or "\\u0001"',
      )
      .optional()
      .describe('What stands between cells.'),
    quote: z.enum(['"', "'", '']).optional().describe('What cells may stand in: \', " or nothing.'),
    escape: z
      .enum(['\\', ''])
      .optional()
      .describe(
        'A backslash, where it stands before a quote, a delimiter or a line end that is text (Redshift ESCAPE, Spark, MySQL); else nothing: quotes are doubled.',
      ),
    null: NullTexts.optional().describe('What stands in an empty cell: a text, or several.'),
    encoding: z
      .enum(['utf-8', ...TextEncoding.options])
      .optional()
      .describe('How the text is encoded.'),
  })
  .refine(({ delimiter, quote }) => delimiter === undefined || delimiter !== quote, {
    path: ['delimiter'],
    error: 'expected another delimiter: the quote cannot be one',
  })
export type CsvMapping = z.infer<typeof CsvMapping>

const nullsOfColumns =
  'Texts that stand for nothing, in every column and every kind of file: a text, or several. Without it the rows tell; an identity, an address and an id are never one of the known ones.'

const TableMapping = z
  .strictObject({
    event: z.string().min(1, 'expected a name').optional().describe("The event's name in PostHog; else the table's."),
    columns: z
      .union([z.array(z.string().min(1, 'expected a name')).min(1, 'expected at least one'), RenamedColumns], {
        error: 'expected a list of names, or { NAME IN THE FILES: NAME OF HEAP }',
      })
      .optional()
      .describe(
        'The columns in order, of files that have no names for them; or other names for some: { "User ID": user_id }.',
      ),
    kind: z
      .enum(['users', 'user_migrations', 'sessions', 'pageviews', 'event', 'raw_events', 'skip'])
      .optional()
      .describe(
        'What the files of the table hold, where their name and columns do not tell it or tell it wrongly. skip: nothing of it is sent.',
      ),
    properties: ColumnRules.optional().describe(ofColumns),
    static: StaticProperties.optional().describe(sameForEveryRow),
    where: Conditions.optional().describe(whichRows),
    csv: CsvMapping.optional().describe('How CSV files of the table are written.'),
    null: NullTexts.optional().describe(nullsOfColumns),
  })
  .describe('One table; of the one-time export one type of events.')

/**
 * The mapping file. Everything in it can change what is sent, so its fingerprint belongs to the run.
 * Unknown keys are faults: a misspelt one would otherwise do nothing, silently.
 */
export const Mapping = z
  .strictObject({
    persons: z
      .enum(['set', 'set_once', 'skip'])
      .default('set')
      .describe('Whether the current properties of users may overwrite what a project already holds.'),
    anonymous: z
      .enum(['full', 'personless'])
      .default('full')
      .describe('Whether PostHog makes people of ids of whom the export knows no identity and no other id.'),
    identity: z
      .enum(['keep', 'hash'])
      .default('keep')
      .describe('hash: the distinct_id of people is HMAC-SHA-256 of their identity, with HEAPFERRY_HASH_SALT.'),
    autocapture: z
      .boolean()
      .default(false)
      .describe(
        "Whether what Heap has recorded by itself (the one-time export's clicks, changes and submits, and tables core_events_…_any_…) becomes $autocapture, which PostHog's actions find by element.",
      ),
    first_touch: z
      .enum(['send', 'skip'])
      .default('send')
      .describe(
        'Whether people get $initial_… properties and places from the first and the last row that the export has of them.',
      ),
    deleted: z
      .enum(['skip', 'send'])
      .default('skip')
      .describe('Whether rows are sent that the copying tool has marked as deleted, as by _fivetran_deleted.'),
    enrich: Enrich.default('sessions').describe(
      "What rows get that they do not say themselves: sessions: referrer, campaign, landing page, browser, system, device and app from their session's row of sessions. pages: the page's address and title, from the last pageview of the session before. none: nothing.",
    ),
    properties: ColumnRules.default({}).describe(ofColumns),
    static: StaticProperties.default({}).describe(sameForEveryRow),
    filter: Filter.default({}).describe('Which events are sent. All others are counted as skipped, filtered_out.'),
    groups: z
      .record(GroupType, Group)
      .refine((groups) => Object.keys(groups).length <= mostGroupTypes, {
        error: ({ input }) =>
          `PostHog has ${mostGroupTypes} types of groups in a project at most, and these are ${Object.keys(Object(input)).length}: leave some out`,
      })
      .default({})
      .describe(
        'Groups by type, five at most: { company: { key: account_id, properties: [plan, mrr] } }. Events get $groups, and the properties go out as $groupidentify.',
      ),
    csv: CsvMapping.default({}).describe('How CSV files are written where the files themselves do not tell.'),
    null: NullTexts.optional().describe(nullsOfColumns),
    ids_per_identity: z
      .number()
      .int()
      .min(1, 'expected 1 or more')
      .default(20)
      .describe('How many ids one identity may have before plan and run tell it.'),
    json: z
      .strictObject({
        undouble: z
          .enum(['auto', 'always', 'never'])
          .default('auto')
          .describe(
            "Whether backslashes of JSON files are written twice, as PostgreSQL's COPY does: found out for each file of Heap's one-time export, or said. A row that is only so to be read is read so in any case.",
          ),
      })
      .prefault({})
      .describe('How JSON files are written.'),
    files: z
      .record(FilePattern, TableName)
      .default({})
      .describe(
        'Which table files belong to, by their path in the export or their name, in which * stands for any characters. The first that fits counts.',
      ),
    columns: RenamedColumns.default({}).describe('Other names for columns, in all tables: { "User ID": user_id }.'),
    tables: z.record(TableName, TableMapping).default({}).describe('By table name, lower case.'),
  })
  .superRefine(
    (mapping, context) => {
      for (const { path, message } of namesGivenTwice(mapping)) context.addIssue({ code: 'custom', path, message })
    },
    // Also where something else is wrong: all faults are told at once.
    { when: () => true },
  )
export type Mapping = z.infer<typeof Mapping>

export const defaultMapping: Mapping = Mapping.parse({})

/** What the mapping says that files of a table hold; undefined where it leaves that to their name and columns. */
export function tableSaid(mapping: Mapping, name: string): Table | undefined {
  const kind = mapping.tables[name]?.kind
  if (kind === undefined) return undefined
  return kind === 'skip' ? { kind: 'helper', name, leftOutBy: 'mapping' } : { kind, name }
}

/** Whether rows get what is known of their session, or of the page. */
export function enrichesFrom({ enrich }: Mapping, from: z.infer<typeof EnrichFrom>): boolean {
  return [enrich].flat().includes(from)
}

/** What is said of the CSV files of a table. */
export function csvIn({ csv, tables }: Mapping, table: string): CsvMapping {
  return { ...csv, ...tables[table]?.csv }
}

/** The texts that stand for nothing in a table, where that is said. */
export function nullsIn(mapping: Mapping, table: string): readonly string[] | undefined {
  const said = mapping.tables[table]?.null ?? mapping.null
  return said === undefined ? undefined : [said].flat()
}

/** Whether a salt is needed: something of the export is to be hashed. */
export function hashes({ identity, properties, tables }: Mapping): boolean {
  const rules = [properties, ...Object.values(tables).flatMap((table) => table.properties ?? [])]
  return identity === 'hash' || rules.flatMap((one) => Object.values(one)).some((rule) => asOf(rule) === 'hash')
}

function asOf(rule: ColumnRule): string | undefined {
  return typeof rule === 'string' ? rule : rule.as
}
