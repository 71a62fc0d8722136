export { Fault, type FaultInput, refuses } from './fault.ts'
export { type FakePostHog, type ReceivedBatch, startFakePostHog } from './start-fake-posthog.ts'
export type { Counts, StoredEvent } from './store.ts'
