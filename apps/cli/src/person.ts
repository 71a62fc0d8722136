import { userInfo } from 'node:os'
import { isReservedName } from '@heapferry/domain'

/**
 * Who types the command, for the timeline. An account without a name (a bare user id in a container) has its number; one that
 * is called as heapferry calls itself is told from it.
 */
export function person(): string {
  try {
    const { username } = userInfo()
    return isReservedName(username) ? `${username} (login)` : username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
