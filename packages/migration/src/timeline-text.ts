import type { TimelineEntry } from '@heapferry/domain'
import { duration } from './wording.ts'

/** What an entry of a run's timeline says, without its moment. */
export function timelineText(entry: TimelineEntry): string {
  switch (entry.kind) {
    case 'created':
      return `created by ${entry.by}`
    case 'paused':
      return `paused by ${entry.by}: ${entry.reason}`
    case 'resumed':
      return `wanted to go on by ${entry.by}`
    case 'cancelled':
      return `cancelled by ${entry.by}`
    case 'phase_completed':
      return `all ${entry.phase} are done`
    case 'waited':
      return `${entry.worker} waited ${duration((entry.untilMs - entry.atMs) / 1000)} for PostHog (${entry.detail})`
  }
}
