import type { RejectReason, SkipReason, TransportName, Warning } from '@heapferry/domain'

/** Why rows were left out on purpose, for someone who has not read the documentation. */
export const skipText: Readonly<Record<SkipReason, string>> = {
  derived_by_posthog: 'PostHog builds sessions itself, from the session id that each event carries.',
  reconciliation_only: 'all_events repeats what the event tables hold; it is only used to check them.',
  helper_table: 'A helper table: it has no person or no time, so its rows are not events.',
  held_back: 'Less than 48 hours old when the run began, so probably in PostHog already.',
  persons_skipped: 'The mapping says to send nothing about such people.',
  no_group: 'The row names no group, or says nothing of the one that it names.',
  nothing_to_merge: 'Nothing to merge: its ids are the same, or other rows already merge them.',
  filtered_out: 'Excluded by the filters of the mapping.',
  superseded: 'There is a newer row for the same user or group: in a later dump, or by last_modified.',
  deleted_in_source: 'Marked as deleted by the tool that copied it. The mapping sends such rows with deleted: send.',
}

/** Why rows could not be sent. */
export const rejectText: Readonly<Record<RejectReason, string>> = {
  not_decodable:
    'No row could be read there, and its detail says why: quotes or columns of CSV that do not fit, JSON that is none, text that is not UTF-8, damaged data.',
  file_damaged: 'The file is damaged or cut off there. Nobody can tell how many rows are lost: get the file again.',
  row_too_large: 'Larger than any event that PostHog accepts.',
  missing_user_id: 'user_id is empty.',
  damaged_id: 'An id is no whole number, or has lost digits, as happens in spreadsheets and in columns of floats.',
  missing_time: 'time is empty.',
  unparsable_time: 'time is not in a form that Heap writes.',
  time_out_of_range: 'Before 2010, or in the future.',
  illegal_distinct_id: 'The identity is a word that PostHog does not accept as a person, such as “anonymous”.',
  distinct_id_too_long: 'The identity is longer than PostHog allows.',
  event_name_too_long: 'The name of the event is longer than PostHog allows.',
  event_too_large: 'The event is larger than PostHog allows.',
  identity_conflict: 'It would merge two different people.',
  refused_by_posthog: 'PostHog refused the event; the list of rejected rows shows its answer.',
}

/** What there is to say of events that were accepted. */
export const warningText: Readonly<Record<Warning, string>> = {
  repeated: 'The export has the very same row twice: a file of JSON lines has it once.',
  person_processing_disabled:
    'Stored, but without updating the person: PostHog does not accept the id as a person’s, or got too many events for it at once.',
  other: 'Stored, with a warning that heapferry does not know: the workers’ log has it.',
}

/** What rows that are sent with a warning are called. */
export function warnedTitle(counts: Partial<Record<Warning, number>>): string {
  return counts.repeated ? 'Sent, and repeated in the export' : 'Sent, with a warning from PostHog'
}

/** What it means for trust that events go this way. */
export const transportText: Readonly<Record<TransportName, string>> = {
  v1: 'PostHog says for every event whether it accepted it.',
  batch: 'PostHog answers for whole requests, and does not say what it drops over a billing limit.',
  sdk: 'posthog-node sends; PostHog answers for whole requests, and does not say what it drops over a billing limit.',
}
