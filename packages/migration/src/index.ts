export { withGroupFiles } from './group-files.ts'
export { convertersOf, convertersToShow } from './converters.ts'
export { conversionOf, endOfRow } from './end-of-row.ts'
export { decodeIdentities, encodeIdentities } from './identities/encoded-identities.ts'
export { noIdentities } from './identities/no-identities.ts'
export type { People } from './identities/people.ts'
export { resolvePeople } from './identities/resolve-people.ts'
export {
  identitiesPath,
  type KeptIdentities,
  loadIdentities,
  peopleOfRun,
  recoverIdentities,
  saveIdentities,
} from './identities/run-identities.ts'
export { propertyChanges } from './export-plan/compare-outcomes.ts'
export {
  type ChangedRow,
  ExportPlan,
  type Figure,
  type MappingComparison,
  type PlannedRow,
  type PlanWarning,
  type PlannedPlace,
  type TableChanges,
  type TablePlan,
} from './export-plan/export-plan.ts'
export { repeatedFileNotices } from './export-plan/repeated-files.ts'
export { madeFiles, saveFirstTouch } from './first-touch/save-first-touch.ts'
export { lookAtTables } from './look-at-tables.ts'
export { type ExportPlanWork, type FoundExport, planExport, type PlanProgress } from './export-plan/plan-export.ts'
export {
  changeText,
  mappingChanges,
  mappingChangeText,
  mappingFingerprint,
} from './mapping-changes.ts'
export { mappingNotices } from './mapping-notices.ts'
export { shownRow } from './hidden-columns.ts'
export { fingerprintOfSalt } from './salt-fingerprint.ts'
export { assertSameFiles, planRun } from './plan-run.ts'
export { readBeforeEvents } from './read-before-events.ts'
export { type ChunkWork, processChunk } from './process-chunk.ts'
export { checkCorrected, type CorrectedFile, correctedRows } from './retry/corrected-rows.ts'
export { exportRejected, leadingColumns } from './retry/export-rejected.ts'
export { groupRejected, type RejectedGroup, shapeOf } from './retry/group-rejected.ts'
export { lateIdentities } from './retry/late-identities.ts'
export { filesOf, type RereadRow } from './retry/reread-rows.ts'
export { type HeldBackWork, retryHeldBack } from './retry/retry-held-back.ts'
export { type LeftReason, lookedAt, type RetryCounts, retryRejected, type RetryWork } from './retry/retry-rejected.ts'
export {
  assertSamePeople,
  type RetriedRows,
  retryRows,
  type RetryRowsWork,
  type RetryWish,
} from './retry/retry-rows.ts'
export { isMeant, placesOf, type RowFilter, RowPlaces } from './retry/row-places.ts'
export { rejectText, skipText, warnedTitle, warningText } from './reason-text.ts'
export { readRun, readRunStatus } from './read-run-status.ts'
export { troubleKinds, troubleOf } from './run-trouble.ts'
export { type ServingWorker, workerFault } from './worker-fault.ts'
export { makeReport, type ReportWork } from './report/make-report.ts'
export { Report } from './report/report.ts'
export { timelineText } from './timeline-text.ts'
export { counted, duration, grouped, paceText, percent, phaseTexts } from './wording.ts'
export {
  completedAtMs,
  hasCompleted,
  isEveryChunkDone,
  isRunComplete,
  phaseOpen,
  rejectedTooMany,
  rejectsMoreThan,
  type RunState,
  type RunStatus,
  runState,
  runStatus,
  wantedToGoOn,
  type TableStatus,
} from './run-state.ts'
export { findNoSessions, type FindSessions, findSessionsIn } from './sessions/find-sessions.ts'
export { openSessions, saveSessions } from './sessions/run-sessions.ts'
export type { Scratch } from './scratch.ts'
export type { CountOfPeople, DayOfEvent, Look } from './verify/posthog-verification.ts'
export { monthText, whoText } from './verify/people-text.ts'
export { verifyAgainstPostHog } from './verify/verify-against-posthog.ts'
export { verifyAgainstSource } from './verify/verify-against-source.ts'
export { suggestedCasts } from './export-plan/text-kinds.ts'
