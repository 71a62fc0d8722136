export { Fault, type FaultInput, refuses } from './fault.ts'
export { createPersons, type MergeRefusal, type Person, type PersonCounts, type Persons } from './persons.ts'
export { type FakePostHog, type ReceivedBatch, startFakePostHog } from './start-fake-posthog.ts'
export type { Counts, StoredEvent } from './store.ts'
