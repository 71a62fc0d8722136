import { Count, Day, RejectReason, SkipReason, ToldBy } from '@heapferry/domain'
import { z } from 'zod'

/** A number of rows or events. Where it is not exact it was estimated from samples. */
export const Figure = z.object({ count: Count, exact: z.boolean() })
export type Figure = z.infer<typeof Figure>

export const PlannedPlace = z.object({
  file: z.string(),
  /** 1 for the first row; null where the rows before it were not read. */
  row: Count.nullable(),
  byte: Count,
})
export type PlannedPlace = z.infer<typeof PlannedPlace>

/** First and last time that can be one: not before 2010, not in the future. */
export const TimeSpan = z.object({ from: z.iso.datetime(), to: z.iso.datetime(), exact: z.boolean() })
export type TimeSpan = z.infer<typeof TimeSpan>

export const Skipped = z.object({ reason: SkipReason, rows: Figure })
export type Skipped = z.infer<typeof Skipped>

/** `places`: the first three at most. */
export const Rejected = z.object({ reason: RejectReason, rows: Figure, places: z.array(PlannedPlace) })
export type Rejected = z.infer<typeof Rejected>

const PlannedColumn = z.object({
  column: z.string(),
  /** `distinct_id`, `timestamp`, `event` or names of properties; empty where it is left out. */
  becomes: z.array(z.string()),
  /** Of a column under its own name of which the mapping says nothing: how many sampled values are text, and could be more. */
  text: z.object({ values: Count, number: Count, boolean: Count, date: Count }).optional(),
})

const Outcome = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('event'),
    event: z.object({
      uuid: z.uuid(),
      event: z.string(),
      distinct_id: z.string(),
      timestamp: z.iso.datetime(),
      properties: z.record(z.string(), z.unknown()),
    }),
  }),
  z.object({ kind: z.literal('skip'), reason: SkipReason }),
  z.object({ kind: z.literal('reject'), reason: RejectReason, detail: z.string() }),
])

/**
 * A row as it is in the export, and what it becomes. It shows personal data, as the export does; but of what the mapping
 * drops or hashes only that it does.
 */
export const PlannedRow = z.object({
  place: PlannedPlace,
  values: z.record(z.string(), z.string()),
  becomes: Outcome,
})
export type PlannedRow = z.infer<typeof PlannedRow>

export const TablePlan = z.object({
  table: z.string(),
  kind: z.string(),
  /** What has told that its files belong to it. */
  told_by: z.array(ToldBy),
  files: Count,
  /** Of the files as they are, packed or not. */
  bytes: Count,
  rows: Figure,
  /** Null where no row says a time. */
  time: TimeSpan.nullable(),
  /** Rows that become an event of PostHog, people and merges included. */
  events: Figure,
  /** Names of those events, the most frequent first. */
  event_names: z.array(z.string()),
  /** Of an event table, what Heap itself calls the event, where the export tells it. */
  heap_name: z.string().optional(),
  skipped: z.array(Skipped),
  rejected: z.array(Rejected),
  columns: z.array(PlannedColumn),
  /** Three at most, spread over the table's time. */
  samples: z.array(PlannedRow),
})
export type TablePlan = z.infer<typeof TablePlan>

/** What a person should look at before migrating; nothing of it stops the migration. */
export const PlanWarning = z.discriminatedUnion('kind', [
  /** Most ids of 16 digits end in 0: a spreadsheet has cut them to 15 digits. */
  z.object({ kind: z.literal('rounded_ids'), table: z.string(), file: z.string() }),
  /** Clocks of visitors were wrong; events with such times are rejected. */
  z.object({ kind: z.literal('wrong_clocks'), table: z.string(), before_2010: Figure, in_future: Figure }),
  z.object({ kind: z.literal('many_rejected'), table: z.string(), rows: Figure, rejected: Figure }),
  /** Cells that the mapping wants cast and that stay text. */
  z.object({
    kind: z.literal('not_cast'),
    table: z.string(),
    column: z.string(),
    as: z.enum(['number', 'boolean', 'date']),
    rows: Figure,
  }),
  /** Neither `users` nor identify records: nobody will be known by name. */
  z.object({ kind: z.literal('no_people') }),
])
export type PlanWarning = z.infer<typeof PlanWarning>

/** Event ids that stand in several rows. Each row becomes an event of its own, but for repeated rows of one table. */
export const RepeatedEvents = z.object({
  /** Rows whose event_id an earlier row of the same table has: PostHog keeps one of them. */
  within_tables: z.array(z.object({ table: z.string(), rows: Figure })),
  /** Pairs of tables with the most event ids in common: one action that two definitions of Heap match. */
  between_tables: z.array(z.object({ tables: z.tuple([z.string(), z.string()]), events: Figure })),
})
export type RepeatedEvents = z.infer<typeof RepeatedEvents>

/** What becomes of one row by one mapping, and by the other. */
export const ChangedRow = z.object({ place: PlannedPlace, before: Outcome, after: Outcome })
export type ChangedRow = z.infer<typeof ChangedRow>

/** Of the sampled rows of one table: how many, and what of them changes. */
export const TableChanges = z.object({
  table: z.string(),
  rows: Count,
  changed: Count,
  /** An event by the first mapping only, by the second only. */
  sent_no_more: Count,
  sent_newly: Count,
  /** What PostHog tells events apart by. */
  names: Count,
  uuids: Count,
  distinct_ids: Count,
  timestamps: Count,
  /** By name, as in `becomes` of a column; those of most rows first. */
  properties: z.array(z.object({ property: z.string(), added: Count, removed: Count, changed: Count })),
  /** Three at most. */
  samples: z.array(ChangedRow),
})
export type TableChanges = z.infer<typeof TableChanges>

/** What another mapping would change. */
export const MappingComparison = z.object({
  mapping_fingerprint: z.string(),
  /** What the mappings say differently, as `persons: set → skip`. */
  differences: z.array(z.string()),
  /** What of it decides how files are read, which is not compared. */
  not_compared: z.array(z.string()),
  tables: z.array(TableChanges),
})
export type MappingComparison = z.infer<typeof MappingComparison>

/**
 * What an export holds and what would become of it: the answer of `plan --json`. Fields are added, never renamed or
 * removed.
 */
export const ExportPlan = z.object({
  source: z.string(),
  planned_at: z.iso.datetime(),
  /** Every row was read: as asked for, or because the export is small. */
  full: z.boolean(),
  mapping_fingerprint: z.string(),
  can_migrate: z.boolean(),
  /** Files that cannot be read; all others are planned. */
  faults: z.array(z.object({ file: z.string(), problem: z.string(), hint: z.string() })),
  notices: z.array(z.string()),
  warnings: z.array(PlanWarning),
  tables: z.array(TablePlan),
  totals: z.object({
    files: Count,
    bytes: Count,
    rows: Figure,
    time: TimeSpan.nullable(),
    events: Figure,
    skipped: z.array(Skipped),
    rejected: z.array(Rejected),
  }),
  people: z.object({
    people: Count,
    ids: Count,
    migrations: Count,
    largest_person_ids: Count,
    conflicts: Count,
    /** A hundred at most. `some`: up to three ids of each. */
    first_conflicts: z.array(z.object({ ids: Count, identities: Count, some: z.array(z.string()) })),
  }),
  /**
   * What is put in order so that rows get what is known of their session: `bytes` of the work store afterwards, and of
   * HEAPFERRY_HOME meanwhile. Null where the export has no sessions, or the mapping wants nothing of them.
   */
  session_index: z
    .object({ sessions: Figure, pageviews: Figure, bytes: Count, scratch_bytes: Count })
    .nullable()
    .optional(),
  /** Who is sent what was first of them, beside the rows of the export; null where nobody is. */
  first_touch: z
    .object({
      /** The tables that tell: sessions, pageviews or events. */
      from: z.string(),
      people: Figure,
      /** Three at most. Of a plan that did not read every row, the first of the rows that were read. */
      samples: z.array(
        z.object({
          distinct_id: z.string(),
          time: z.iso.datetime(),
          set_once: z.record(z.string(), z.unknown()),
          set: z.record(z.string(), z.unknown()),
        }),
      ),
    })
    .nullable(),
  /** By day (UTC), people and merges not counted; null unless every row was read. */
  events_per_day: z.record(Day, Count).nullable(),
  /** Null unless every row was read. */
  repeated_events: RepeatedEvents.nullable(),
  /**
   * Where `all_events` counts other rows than its tables have; `rows` is null for a table that the export does not have.
   * Null without `all_events`, or unless every row was read.
   */
  all_events_differences: z
    .array(z.object({ table: z.string(), in_all_events: Count, rows: Count.nullable() }))
    .nullable(),
  /** Null unless another mapping was given to compare with. */
  against: MappingComparison.nullable(),
  delivery: z.object({
    requests: Figure,
    /** JSON, before it is packed for the network. */
    bytes: Figure,
    events_per_second: z.number().positive(),
    seconds: z.number().nonnegative(),
  }),
})
export type ExportPlan = z.infer<typeof ExportPlan>
