import { userInfo } from 'node:os'

/** Who types the command, for the timeline. An account without a name (a bare user id in a container) has its number. */
export function person(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
