import { setTimeout as sleep } from 'node:timers/promises'

/** Waits for a condition, and says what it waited for when it does not come true. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, deadlineMs = 60_000): Promise<void> {
  const endMs = Date.now() + deadlineMs
  while (!(await holds())) {
    if (Date.now() > endMs) throw new Error(`waited ${deadlineMs} ms in vain until ${what}`)
    await sleep(50)
  }
}
