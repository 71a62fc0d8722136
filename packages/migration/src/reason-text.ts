import type { RejectReason, SkipReason, TransportName, Warning } from '@heapferry/domain'

/** Why rows were left out on purpose, for someone who has not read the documentation. */
export const skipText: Readonly<Record<SkipReason, string>> = {
  derived_by_posthog: 'PostHog makes sessions itself, from the session id that each event carries.',
  reconciliation_only: 'all_events repeats what the event tables hold; it serves to check them.',
  helper_table: 'A helper table: it has no person or no time, so its rows are not events.',
  held_back: 'Younger than 48 h when the run began, and so likely in PostHog already.',
  persons_skipped: 'The mapping says that nothing is to be said of such people.',
  nothing_to_merge: 'It joins nobody: its ids are the same, or other rows join them already.',
  filtered_out: 'The filters of the mapping do not want it.',
  superseded: 'A later dump has a newer row of the same user.',
}

/** Why rows could not be sent. */
export const rejectText: Readonly<Record<RejectReason, string>> = {
  not_decodable: 'No row could be read there: unclosed quote, wrong number of columns, or text that is not UTF-8.',
  file_damaged: 'The file is damaged or cut off there. How many rows that costs, nobody knows: get the file again.',
  row_too_large: 'Longer than any event that PostHog takes.',
  missing_user_id: 'user_id is empty.',
  damaged_id: 'An id has lost digits, as it happens in spreadsheets.',
  missing_time: 'time is empty.',
  unparsable_time: 'time is not one that Heap writes.',
  time_out_of_range: 'Before 2010, or in the future.',
  illegal_distinct_id: 'The identity is a word that PostHog takes for no person, such as “anonymous”.',
  distinct_id_too_long: 'The identity is longer than PostHog allows.',
  event_name_too_long: 'The name of the event is longer than PostHog allows.',
  event_too_large: 'The event is larger than PostHog takes.',
  identity_conflict: 'It would join two people who are told apart.',
  refused_by_posthog: 'PostHog refused the event; the list of rejected rows has its answer.',
}

/** What PostHog remarked on events that it took. */
export const warningText: Readonly<Record<Warning, string>> = {
  person_processing_disabled:
    'Stored, but without changing the person: PostHog takes the id for nobody’s, or had too many events of it at once.',
  other: 'Stored, with a remark that heapferry does not know: the log of the workers has it.',
}

/** What it means for trust that events go this way. */
export const transportText: Readonly<Record<TransportName, string>> = {
  v1: 'PostHog says of every event whether it took it.',
  batch: 'PostHog answers for whole requests, and does not say what it drops over a billing limit.',
  sdk: 'posthog-node sends; PostHog answers for whole requests, and does not say what it drops over a billing limit.',
}
