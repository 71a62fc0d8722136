import type { Identities } from '@heapferry/domain'

/**
 * The identities of a run, for rows that had no part in resolving them: they could not be read then. A row that is mended
 * may name ids that nobody knows yet, or join two people who have been told apart since: that is a conflict, as merges of
 * PostHog cannot be taken back.
 */
export function lateIdentities(resolved: Identities): Identities {
  return {
    ...resolved,
    // Nobody has compared it with the rows that are there: it adds what they do not say, and replaces nothing.
    standing(userId, rowKey) {
      const standing = resolved.standing(userId, rowKey)
      return standing?.kind === 'older' ? { kind: 'counts', isNewest: false, elsewhere: new Set() } : standing
    },
    joinedBy(fromId, toId) {
      if (fromId === toId) return { kind: 'nothing' }
      const from = resolved.person(fromId)
      const to = resolved.person(toId)
      for (const one of [from, to]) if (one?.kind === 'conflict') return one
      if (from?.kind === 'person' && to?.kind === 'person') {
        if (from.distinctId === to.distinctId) return resolved.joinedBy(fromId, toId)
        return { kind: 'conflict', detail: `user ids ${fromId} and ${toId} are of two people already` }
      }
      if (from?.kind === 'person') return { kind: 'joins', alias: toId, distinctId: from.distinctId }
      const distinctId = to?.kind === 'person' ? to.distinctId : toId
      return { kind: 'joins', alias: fromId, distinctId }
    },
  }
}
