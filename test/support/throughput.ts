import { monitorEventLoopDelay } from 'node:perf_hooks'

/** A process that is late by this cannot keep a pace, or tell whether others do. */
export const tooLateMs = 80

/** How late this process is at most, in ms, from now until it is asked. */
export function latenessFromNow(): () => number {
  const lateness = monitorEventLoopDelay({ resolution: 5 })
  lateness.enable()
  return () => {
    lateness.disable()
    return Math.round(lateness.max / 1e6)
  }
}

/** Events that went, or came, at one moment. */
export interface Arrival {
  atMs: number
  events: number
}

/** The most events within any second, begun at whichever arrival. */
export function worstSecond(arrivals: readonly Arrival[]): number {
  const inOrder = arrivals.toSorted((a, b) => a.atMs - b.atMs)
  let most = 0
  let sum = 0
  let first = 0
  for (const { atMs, events } of inOrder) {
    sum += events
    for (let old = inOrder[first]; old && atMs - old.atMs >= 1000; old = inOrder[++first]) sum -= old.events
    most = Math.max(most, sum)
  }
  return most
}

/** How much of the budget was used between the first and the last arrival; what arrived last is of the time after. */
export function usedShare(arrivals: readonly Arrival[], eventsPerSecond: number): number {
  const inOrder = arrivals.toSorted((a, b) => a.atMs - b.atMs)
  const events = inOrder.slice(0, -1).reduce((sum, arrival) => sum + arrival.events, 0)
  const seconds = ((inOrder.at(-1)?.atMs ?? 0) - (inOrder[0]?.atMs ?? 0)) / 1000
  return events / seconds / eventsPerSecond
}
