import type { Identities } from '@heapferry/domain'

/** What is known where no table of people was exported. */
export const noIdentities: Identities = {
  person: () => undefined,
  joinedBy: (fromId, toId) =>
    fromId === toId ? { kind: 'nothing' } : { kind: 'joins', alias: fromId, distinctId: toId },
  isKnown: () => false,
  isSuperseded: () => false,
  givesToGroup: () => true,
  standing: () => undefined,
}
