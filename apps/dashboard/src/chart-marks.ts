import type { TimelineEntry } from '@heapferry/domain'
import { phaseTexts } from '@heapferry/migration'
import type { ChartMark } from './live-page.ts'

// Outages of a second each may come by the thousand; waits closer to one another than that are one mark.
const gapMs = 5000
const keptMarks = 200

/** What the timeline tells that explains a chart: pauses, waits for PostHog, and where phases end. Oldest first. */
export function chartMarks(timeline: readonly TimelineEntry[]): ChartMark[] {
  const marks: ChartMark[] = []
  for (const entry of timeline.toSorted((a, b) => a.atMs - b.atMs)) {
    const { kind, atMs } = entry
    const pause = marks.findLast((mark) => mark.kind === 'paused' && mark.toMs === null)
    if (kind === 'paused' && !pause) {
      marks.push({ kind, fromMs: atMs, toMs: null, text: `paused by ${entry.by}: ${entry.reason}` })
    } else if (kind === 'resumed' || kind === 'cancelled') {
      if (pause) pause.toMs = atMs
    } else if (kind === 'phase_completed') {
      marks.push({ kind: 'phase', fromMs: atMs, toMs: atMs, text: `done: ${phaseTexts[entry.phase]}` })
    } else if (kind === 'waited') {
      const before = marks.findLast((mark) => mark.kind === 'waited')
      if (before?.toMs != null && atMs <= before.toMs + gapMs) before.toMs = Math.max(before.toMs, entry.untilMs)
      else marks.push({ kind, fromMs: atMs, toMs: entry.untilMs, text: `waited for PostHog (${entry.detail})` })
    }
  }
  return marks.slice(-keptMarks)
}
