export { convertersOf } from './converters.ts'
export { decodeIdentities, encodeIdentities, type IdentityFacts, resolveIdentities } from './identities.ts'
export { identityFacts } from './identity-facts.ts'
export { maxEncodedBytes, outgoing } from './outgoing.ts'
export { type ChunkSchedule, type PlanWork, assertSameFiles, planRun } from './plan-run.ts'
export { type ChunkOutcome, type ChunkWork, processChunk } from './process-chunk.ts'
export { rejectText, skipText } from './reason-text.ts'
export { duration, grouped, percent } from './wording.ts'
export {
  isRunComplete,
  messageOf,
  phaseOpen,
  type RunState,
  type RunStatus,
  runState,
  runStatus,
  type TableStatus,
} from './run-state.ts'
