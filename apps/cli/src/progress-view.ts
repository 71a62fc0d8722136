import { visible, visibleJson } from '@heapferry/domain'
import { logUpdateStderr } from 'log-update'
import type { RunStatus } from '@heapferry/migration'
import { answer, say } from './print.ts'
import { progressFacts, progressLine, shortened } from './status-text.ts'

/** Shows how far a run is, as often as it is told. */
export interface ProgressView {
  show(status: RunStatus): void
  end(): void
}

const lineEveryMs = 10_000

/** JSON lines for programs, a bar for a terminal, a line now and then for a log. */
export function progressView(json: boolean): ProgressView {
  if (json) return everySoOften(2000, (status) => answer(visibleJson(status)))
  if (process.stderr.isTTY) return bar()
  return everySoOften(lineEveryMs, (status) => say(`${visible(status.message)} ${progressFacts(status)}`.trimEnd()))
}

function bar(): ProgressView {
  return {
    show(status) {
      const width = process.stderr.columns ?? 80
      logUpdateStderr(`${shortened(status.message, width - 1)}\n${progressLine(status, width)}`)
    },
    end: () => logUpdateStderr.done(),
  }
}

function everySoOften(intervalMs: number, print: (status: RunStatus) => void): ProgressView {
  let printedAtMs = Number.NEGATIVE_INFINITY
  return {
    show(status) {
      if (performance.now() - printedAtMs < intervalMs) return
      printedAtMs = performance.now()
      print(status)
    },
    end: () => {},
  }
}
