import {
  Count,
  PostHogVerification,
  RejectReason,
  SkipReason,
  SourceVerification,
  TimelineEntry,
  Warning,
} from '@heapferry/domain'
import { z } from 'zod'

const Moment = z.iso.datetime()

const TableFigures = z.object({
  table: z.string(),
  planned: Count,
  read: Count,
  sent: Count,
  skipped: Count,
  rejected: Count,
  skipped_by_reason: z.partialRecord(SkipReason, Count),
  rejected_by_reason: z.partialRecord(RejectReason, Count),
  /** Of the sent rows: those that PostHog took with a remark. */
  warned: Count,
  warned_by_kind: z.partialRecord(Warning, Count),
})

/**
 * What a run did, for those who have to answer for it. Fields are added, never renamed or removed; other changes get
 * another `format`.
 */
export const Report = z.object({
  format: z.literal('heapferry-report-1'),
  made_at: Moment,
  /** Version of heapferry that made the report. */
  version: z.string(),
  run: z.object({
    id: z.string(),
    state: z.string(),
    message: z.string(),
    source: z.string(),
    destination: z.string(),
    created_at: Moment,
    created_by: z.string().nullable(),
    /** When its last phase was completed; null while it is not. */
    completed_at: Moment.nullable(),
  }),
  settings: z.object({
    include_recent: z.boolean(),
    max_rejected_percent: z.number(),
    chunk_bytes: Count,
    /** Of the mapping in force: the same for whoever has the same one. */
    mapping_fingerprint: z.string(),
    mapping: z.unknown(),
  }),
  inputs: z.array(
    z.object({
      path: z.string(),
      table: z.string(),
      format: z.string(),
      compression: z.string(),
      size_bytes: Count,
      /** What told that the file was still the one that was planned: its time of modification, or an ETag. */
      version: z.string(),
      /** In hex; null where it was not asked for, or the file has changed or gone since. */
      sha256: z.string().nullable(),
      columns: Count,
      rows: Count.nullable(),
      read: Count,
    }),
  ),
  /** Of a run from a warehouse: what was unloaded of it; null of every other. */
  warehouse: z
    .object({
      /** Without a secret. */
      address: z.string(),
      /** Where the files are. */
      stage: z.string(),
      tables: z.array(
        z.object({
          table: z.string(),
          /** What it was read by, in words. */
          statement: z.string(),
          /** When the first snapshot of it was taken, and the last one: one where it was read in one go. */
          first_snapshot_at: Moment,
          last_snapshot_at: Moment,
          files: Count,
          rows: Count,
          bytes: Count,
          /** What is to be known of it. */
          notice: z.string().nullable(),
        }),
      ),
      rows: Count,
      bytes: Count,
      /** Heap's syncs meanwhile, and what all_events counts otherwise. */
      notices: z.array(z.string()),
      /** When the stage may be deleted, and how. */
      deletion: z.string(),
    })
    .nullable(),
  tables: z.array(TableFigures),
  totals: TableFigures,
  rejected: z.array(
    z.object({
      table: z.string(),
      reason: RejectReason,
      shape: z.string(),
      rows: Count,
      first: z.object({ file: z.string(), row: Count, byte: Count }),
      example: z.string(),
    }),
  ),
  /** The last of each kind; null where the run was not verified. */
  verifications: z.object({ posthog: PostHogVerification.nullable(), source: SourceVerification.nullable() }),
  timeline: z.array(z.object({ at: Moment, text: z.string(), entry: TimelineEntry })),
  /** Of the whole run, since its beginning: rows that had ended at some moments. */
  history: z.array(z.object({ at: Moment, read: Count, sent: Count, rejected: Count })),
  answers: z.object({ by_status: z.record(z.string(), Count), mean_ms: Count.nullable() }),
  undo: z.object({
    /** What can be done, in words. */
    steps: z.array(z.string()),
    /** HogQL that counts the events of the run, by name. */
    events_query: z.string(),
    /** HogQL that lists the people whom the run has touched. */
    persons_query: z.string(),
  }),
})
export type Report = z.infer<typeof Report>
