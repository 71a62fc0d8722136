import { phases } from '@heapferry/domain'
import { duration, grouped, paceText, percent, phaseTexts, type RunStatus } from '@heapferry/migration'
import { type Html, html } from './html.ts'

const stateWords: Readonly<Record<RunStatus['state'], string>> = {
  planning: 'planning',
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

export function isFinal({ state }: RunStatus): boolean {
  return state === 'completed' || state === 'completed_with_rejected_rows' || state === 'cancelled'
}

export function progressOf({ state, totals: { read, planned } }: RunStatus): Html {
  return html`<div class="progress">${bar({ state, done: read, of: planned, label: 'Rows read' })}
<p><strong>${percent(read, planned)}</strong> <span>${grouped(read)} of ${grouped(planned)} rows</span></p></div>`
}

export function bar({ state, done, of, label }: { state: string; done: number; of: number; label: string }): Html {
  const share = of === 0 ? 0 : Math.min(done / of, 1)
  return html`<progress class="${state}" value="${share}" aria-label="${label}"></progress>`
}

/** How far each phase is, in chunks. */
export function phasesOf({ state, phases: all }: RunStatus): Html {
  return html`<ol class="phases">${all.map(
    ({ phase, planned, done, sealed }) => html`<li><p><span>${phases.indexOf(phase) + 1}. ${phaseTexts[phase]}</span>
<span>${grouped(done)} of ${grouped(planned)} chunks${sealed ? '' : ', more are being cut'}</span></p>
${bar({ state, done: sealed && planned === 0 ? 1 : done, of: Math.max(planned, 1), label: `Chunks of phase ${phases.indexOf(phase) + 1}` })}</li>`,
  )}</ol>`
}

/** The figures that a glance is for. */
export function factsOf(status: RunStatus): Html {
  const { rate, eta_s: etaSeconds, pace, totals } = status
  const ofWork: [string, string][] = [
    ['Rate', rate === null ? '–' : `${grouped(rate)} rows/s`],
    ['Time left', etaSeconds === null ? '–' : duration(etaSeconds)],
    ['Pace', pace.effective === pace.limit ? paceText(pace.limit) : `${paceText(pace.effective)} for now`],
  ]
  const facts: [string, string][] = [
    ...(isFinal(status) ? [] : ofWork),
    ['Sent', grouped(totals.sent)],
    ['Skipped', grouped(totals.skipped)],
    ['Rejected', grouped(totals.rejected)],
  ]
  return html`<dl class="numbers">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}
