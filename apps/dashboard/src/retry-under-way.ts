import type { RetryUnderWay } from '@heapferry/domain'
import { grouped } from '@heapferry/migration'
import { type Html, html } from './html.ts'
import { moment } from './moment.ts'
import { bar } from './progress.ts'

/** How far a retry is; nothing where none goes on. */
export function retryUnderWay(retry: RetryUnderWay | null): Html {
  if (retry === null) return html``
  const { by, sinceMs, rows, looked, outcome } = retry
  const done =
    rows === null ? html`Rows are being counted.` : html`${grouped(looked)} of ${grouped(rows)} rows looked at`
  return html`<h2>Retry under way</h2>
${bar({ state: 'running', done: looked, of: rows ?? 0, label: 'Rows looked at' })}
<p>${done} · ${grouped(outcome.sent)} sent again · ${grouped(outcome.rejected)} still rejected · ${grouped(outcome.skipped)} skipped</p>
<p class="facts">By ${by}, since ${moment(sinceMs)}</p>`
}
