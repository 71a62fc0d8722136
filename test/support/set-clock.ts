import { onTestFinished, vi } from 'vitest'

/** What this process takes for the time of day is so much later from now on, until the test ends. Timers go on as they do. */
export function setClock(byMs: number): void {
  const nowMs = Date.now()
  vi.useFakeTimers({ toFake: ['Date'], now: nowMs + byMs, shouldAdvanceTime: true })
  onTestFinished(() => void vi.useRealTimers())
}
