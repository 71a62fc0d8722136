import { z } from 'zod'
import type { Columns, Types, Values } from './reading.ts'
import type { FoundSession } from './sessions.ts'
import type { Table } from './table.ts'

/** Why a row was left out on purpose. A closed list: reports and totals group by it. */
export const SkipReason = z.enum([
  'derived_by_posthog', // PostHog makes sessions itself, from $session_id.
  'reconciliation_only', // all_events repeats what the event tables hold.
  'helper_table', // no person or no time: not an event.
  'held_back', // younger than 48 h at the start of the run.
  'persons_skipped', // the mapping says persons: skip.
  'no_group', // it names no group, or says nothing of the one it names.
  'nothing_to_merge', // its ids are one already, or other rows join them.
  'filtered_out', // the mapping's filters do not want it.
  'superseded', // there is a newer row of the same user, or of the same group.
  'deleted_in_source', // the tool that copied the row has marked it as deleted.
])
export type SkipReason = z.infer<typeof SkipReason>

/** Why a row could not be sent. A closed list: reports, totals and `retry` group by it. */
export const RejectReason = z.enum([
  'not_decodable', // quotes, columns, JSON, UTF-8, damage: no row could be read here, and the detail says why.
  'file_damaged', // cut off, or not to be unpacked any further: how many rows are lost behind it, nobody knows.
  'row_too_large', // longer than any event that PostHog takes.
  'missing_user_id',
  'damaged_id', // no whole number, or a spreadsheet or a float has eaten digits of user_id, event_id, session_id or identity.
  'missing_time',
  'unparsable_time',
  'time_out_of_range', // before 2010 or more than 23 h after the start of the run.
  'illegal_distinct_id', // PostHog never merges such ids ("anonymous", "null", …).
  'distinct_id_too_long',
  'event_name_too_long',
  'event_too_large',
  'identity_conflict', // would join two people.
  'refused_by_posthog',
])
export type RejectReason = z.infer<typeof RejectReason>

/** What there is to say of an event that was taken: its row is sent. A closed list, as totals are kept by it. */
export const Warning = z.enum([
  'repeated', // a file of JSON lines has the very same event already.
  'person_processing_disabled', // the event is stored, but its person was not touched.
  'other', // the log of the worker has PostHog's words.
])
export type Warning = z.infer<typeof Warning>

/**
 * One event as PostHog's capture API takes it. `uuid`, `event`, `distinct_id` and `timestamp` together are PostHog's
 * deduplication key and depend only on the row and the mapping, byte for byte.
 */
export interface PostHogEvent {
  uuid: string
  event: string
  distinct_id: string
  /** `YYYY-MM-DDTHH:MM:SS.sssZ` */
  timestamp: string
  properties: Record<string, unknown>
}

/** What becomes of one row: exactly one of the three. */
export type Conversion =
  | { kind: 'event'; event: PostHogEvent }
  | { kind: 'skip'; reason: SkipReason }
  | { kind: 'reject'; reason: RejectReason; detail: string }

/** The same of a row that is to be sent: of an event, its JSON instead of its properties. */
export type Written =
  | { kind: 'event'; event: Omit<PostHogEvent, 'properties'> & { json: string } }
  | Exclude<Conversion, { kind: 'event' }>

/** Of a row of a table with the same columns. */
export type OfRow<Outcome> = (values: Values, types?: Types, session?: FoundSession | null) => Outcome

/** What becomes of the rows. */
export interface Convert extends OfRow<Conversion> {
  /** `json` is byte for byte what `JSON.stringify` makes of the event. */
  write: OfRow<Written>
}

/** Compiled once for a table and its columns, then called for every row that has them. */
export type ConverterFor = (table: Table, columns: Columns) => Convert
