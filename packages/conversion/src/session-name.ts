import type { ConversionContext } from './context.ts'

/**
 * Heap draws the ids of sessions from [0, 2^53): from here on an id names a session alone. Of a hundred million sessions
 * two have the same with a chance of two in five. Whatever numbers sessions otherwise, per user or by the second, stays
 * below; so does one of 8192 drawn ids.
 */
const leastDrawn = 2 ** 40

/** The one conversion before in which a session's name had the user id in it, and so changed when Heap identified the user. */
const byUserId = 2

/**
 * What a session is called, whoever its rows belong to at the moment: by its id alone where that was drawn, else by its id
 * and the person, as migrations and identities join their ids.
 */
export function compileSessionName({
  conversion,
  identities,
}: Pick<ConversionContext, 'conversion' | 'identities'>): (userId: string, sessionId: string) => string {
  if (conversion <= byUserId) return (userId, sessionId) => `heapferry session\0${userId}\0${sessionId}`
  return (userId, sessionId) => {
    // Ids that Heap has hashed can be negative.
    if (Math.abs(Number(sessionId)) >= leastDrawn) return `heapferry session\0${sessionId}`
    const resolved = identities.person(userId)
    const person = resolved?.kind === 'person' ? resolved.distinctId : userId
    return `heapferry session\0${person}\0${sessionId}`
  }
}
