import type { TimelineEntry } from '@heapferry/domain'
import { counted, duration, grouped, paceText } from './wording.ts'

/** What an entry of a run's timeline says, without its moment. */
export function timelineText(entry: TimelineEntry): string {
  switch (entry.kind) {
    case 'created':
      return `created by ${entry.by}`
    case 'paused':
      return `paused by ${entry.by}: ${entry.reason}`
    case 'resumed':
      return `resumed by ${entry.by}`
    case 'cancelled':
      return `cancelled by ${entry.by}`
    case 'verified':
      return `compared with ${entry.against === 'posthog' ? 'PostHog' : 'the export'} by ${entry.by}: ${entry.verdict}`
    case 'verification_failed':
      return `the verification by ${entry.by} failed: ${entry.detail}`
    case 'unloading': {
      const left = entry.rows === 0 ? '' : `, ${grouped(entry.rows)} of them unloaded before`
      return `unloading of ${entry.tables === 1 ? '1 table' : `${grouped(entry.tables)} tables`} with ${grouped(entry.of)} rows begun by ${entry.by}${left}`
    }
    case 'unloaded':
      if (entry.rows === 0 && entry.notice !== undefined) return entry.notice
      return `unloaded ${entry.table}: ${grouped(entry.rows)} rows${entry.notice === undefined ? '' : `. ${entry.notice}`}`
    case 'phase_completed':
      return `phase completed: ${entry.phase}`
    case 'transport_chosen':
      return `events are sent with ${entry.transport}: ${entry.reason}`
    case 'waited':
      return `${entry.worker} waited ${duration((entry.untilMs - entry.atMs) / 1000)} for PostHog (${entry.detail})`
    case 'retry_wanted': {
      const files = entry.from === undefined ? undefined : `mended in ${entry.from.join(', ')}`
      const which = [entry.table, entry.reason, files].filter((part) => part !== undefined).join(', ')
      return `retry of rejected rows${which === '' ? '' : ` (${which})`} requested by ${entry.by}`
    }
    case 'retry_failed':
      return `retry failed: ${entry.detail}`
    case 'retry_ended':
      return entry.how === 'done'
        ? `the retry by ${entry.by} ended: there was nothing to send`
        : `the retry by ${entry.by} was cut off`
    case 'retried': {
      const { reasons, sent, skipped, rejected } = entry
      const taken = Object.entries(reasons).map(([reason, rows]) => `${grouped(rows)} ${reason}`)
      const of = taken.length === 0 ? 'no rows' : taken.join(', ')
      return `retried by ${entry.by} (${of}): ${grouped(sent)} sent, ${grouped(skipped)} skipped, ${grouped(rejected)} still rejected`
    }
    case 'downloaded': {
      const of = entry.table === undefined ? '' : ` of ${entry.table}`
      return entry.what === 'report'
        ? `report downloaded by ${entry.by}`
        : `rejected rows${of} downloaded by ${entry.by}`
    }
    case 'chunks_retried': {
      const which = entry.chunk === undefined ? 'all failed chunks' : `the failed chunk ${entry.chunk}`
      return `${which} of ${entry.phase} enqueued again by ${entry.by}`
    }
    case 'cleaned':
      return `cleaned by ${entry.by}: ${counted(entry.files, 'file')} of the work store with ${grouped(entry.bytes)} bytes deleted${entry.stage ? ', what was unloaded for it among them' : ''}`
    case 'pace_changed':
      return `pace changed from ${paceText(entry.from)} to ${paceText(entry.to)} by ${entry.by}`
    case 'unreadable':
      return `an entry that cannot be read: ${entry.text}`
  }
}
