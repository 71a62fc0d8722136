import { RejectReason, SkipReason } from '@heapferry/domain'

// Given where rows are read and sent, not where they are converted.
const elsewhere = new Set<string>([
  'not_decodable',
  'file_damaged',
  'row_too_large',
  'event_too_large',
  'refused_by_posthog',
])

/** For which conversion skips or rejects a row. */
export const reasonsOfConversion = [...SkipReason.options, ...RejectReason.options].filter(
  (reason) => !elsewhere.has(reason),
)
