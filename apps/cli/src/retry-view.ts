import { logUpdateStderr } from 'log-update'
import { type Waiting, visible } from '@heapferry/domain'
import { counted, grouped, lookedAt, type RetryCounts } from '@heapferry/migration'
import { say } from './print.ts'
import { shortened } from './status-text.ts'

/** Shows how far a retry is. */
export interface RetryView {
  begin(rows: number): void
  show(counts: RetryCounts): void
  waiting(waiting: Waiting | null): void
  end(): void
}

const lineEveryMs = 10_000

/** A line that changes for a terminal, one now and then for a log, none for programs. */
export function retryView(json: boolean): RetryView {
  const isTerminal = process.stderr.isTTY && !json
  let rows = 0
  let shownAtMs = performance.now()
  let line = ''
  const print = (): void => {
    if (isTerminal) logUpdateStderr(shortened(line, (process.stderr.columns ?? 80) - 1))
    else if (!json && performance.now() - shownAtMs >= lineEveryMs) {
      shownAtMs = performance.now()
      say(visible(line))
    }
  }
  return {
    begin(count) {
      rows = count
      if (!json) say(`${counted(rows, 'row')} to send again.`)
    },
    show(counts) {
      line = `${grouped(lookedAt(counts))} of ${grouped(rows)} rows · ${grouped(counts.sent)} sent · ${grouped(counts.rejected)} rejected`
      print()
    },
    waiting(waiting) {
      if (waiting === null) return
      line = `Waiting for PostHog (${waiting.detail}). Nothing is lost.`
      print()
    },
    end: () => {
      if (isTerminal) logUpdateStderr.done()
    },
  }
}
