import { isComplete } from '@heapferry/domain'
import { grouped, hasCompleted, percent, phaseTexts, type RunStatus } from '@heapferry/migration'
import { type Html, html } from './html.ts'

const stateWords: Readonly<Record<RunStatus['state'], string>> = {
  planning: 'planning',
  unloading: 'unloading',
  running: 'running',
  waiting_for_posthog: 'waiting',
  pausing: 'pausing',
  paused: 'paused',
  completing: 'completing',
  cancelled: 'cancelled',
  failed: 'failed',
  completed: 'completed',
  completed_with_rejected_rows: 'completed',
}

export function stateBadge({ state, trouble }: RunStatus): Html {
  if (trouble.some(({ halts }) => halts)) return html`<span class="state standing_still">standing still</span>`
  return html`<span class="state ${state}">${stateWords[state]}</span>`
}

export function isFinal(status: RunStatus): boolean {
  return hasCompleted(status) || status.state === 'cancelled'
}

export function progressOf({ state, totals: { read, planned }, unloading }: RunStatus): Html {
  // Nothing is planned of what has not been unloaded.
  if (state === 'unloading' && unloading !== null) {
    const { rows, of } = unloading
    return html`<div class="progress">${bar({ state, done: rows, of, label: 'Rows unloaded' })}
<p><strong>${percent(rows, of)}</strong> <span>${grouped(rows)} of ${grouped(of)} rows unloaded</span></p></div>`
  }
  return html`<div class="progress">${bar({ state, done: read, of: planned, label: 'Rows read' })}
<p><strong>${percent(read, planned)}</strong> <span>${grouped(read)} of ${grouped(planned)} rows</span></p></div>`
}

/** Without a label it is for the eye alone: the numbers stand beside it, and the name of a line is heard with every cell. */
export function bar({ state, done, of, label }: { state: string; done: number; of: number; label?: string }): Html {
  const share = of === 0 ? 0 : Math.min(done / of, 1)
  return html`<progress class="${state}" value="${share}"${label === undefined ? html` aria-hidden="true"` : html` aria-label="${label}"`}></progress>`
}

/** How far each phase is, in rows, or where an older version planned it in chunks. What is done is green whatever goes on behind it; what has nothing to do has no bar. */
export function phasesOf({ state, phases: all }: RunStatus): Html {
  return html`<ol class="phases">${all.map((progress, index) => {
    const { phase, planned, done, sealed, rows_planned: rows, rows_read: read } = progress
    const isEmpty = sealed && planned === 0
    const [of, at, unit] = rows === null || read === null ? [planned, done, 'chunks'] : [rows, read, 'rows']
    const text = `${grouped(at)} of ${grouped(of)} ${unit}${sealed ? '' : ', more are being cut'}`
    const shown = { state: isComplete(progress) ? 'completed' : state, done: at, of }
    return html`<li><p><span>${index + 1}. ${phaseTexts[phase]}</span> <span>${isEmpty ? 'nothing to do' : text}</span></p>
${isEmpty ? html`` : bar({ ...shown, label: `Done of phase ${index + 1}` })}</li>`
  })}</ol>`
}
