import type { Answers } from '@heapferry/domain'
import { grouped } from '@heapferry/migration'
import type { Html } from './html.ts'
import { type Line, tableOf } from './table.ts'

const statusTexts: Readonly<Record<string, string>> = {
  200: 'accepted',
  400: 'refused; the events at fault are rejected, the others sent again',
  401: 'key refused',
  402: 'billing limit reached',
  404: 'wrong address',
  408: 'timed out; sent again',
  413: 'too large; sent again in halves',
  429: 'rate limited; sent again when PostHog allows',
  none: 'no answer; sent again',
}

/** How many requests PostHog answered how, most first. */
export function answersTable(byStatus: Answers['byStatus']): Html {
  const lines = Object.entries(byStatus)
    .toSorted(([, a], [, b]) => b - a)
    .map(([status, count]): Line => {
      const meaning = statusTexts[status] ?? (status.startsWith('5') ? 'trouble at PostHog; sent again' : '')
      return {
        name: status === 'none' ? '–' : status,
        cells: [{ text: grouped(count) }, { text: meaning, kind: 'words' }],
      }
    })
  return tableOf(['status', 'requests', 'meaning'], lines)
}
