export { type FaultInput, isAbout } from './fault.ts'
export { createPersons } from './persons.ts'
export type { QueryApiOptions } from './query-api.ts'

export { type FakePostHog, startFakePostHog } from './start-fake-posthog.ts'
