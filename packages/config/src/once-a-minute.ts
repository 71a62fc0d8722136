const minuteMs = 60_000

/** Tells an error, and the same one again only after a minute: while Redis is away there are several a second. */
export function onceAMinute(tell: (error: Error) => void): (error: Error) => void {
  const toldAtMs = new Map<string, number>()
  return (error) => {
    const nowMs = performance.now()
    for (const [message, atMs] of toldAtMs) if (nowMs - atMs >= minuteMs) toldAtMs.delete(message)
    if (toldAtMs.has(error.message)) return
    toldAtMs.set(error.message, nowMs)
    tell(error)
  }
}
