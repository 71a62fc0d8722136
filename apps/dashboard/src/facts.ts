import { completedAtMs, duration, grouped, paceText, type RunStatus } from '@heapferry/migration'
import { type Html, html } from './html.ts'
import { clock, moment } from './moment.ts'
import { isFinal } from './progress.ts'
import type { RunView } from './run-view.ts'

type Fact = [name: string, value: string | Html]

/** The figures that a glance is for. */
export function factsOf(view: RunView): Html {
  const { run, status } = view
  const { sent, skipped } = status.totals
  const facts: Fact[] = [
    ...(isFinal(status) ? timesWhenOver(view) : timesUnderWay(view)),
    ['Sent', grouped(sent)],
    ['Skipped', grouped(skipped)],
    ['Rejected', rejectedOf(run.id, status)],
  ]
  return html`<dl class="numbers">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

function timesUnderWay({ run, status, nowMs }: RunView): Fact[] {
  const { rate, eta_s: etaSeconds } = status
  return [
    ['Rate', rate === null ? '–' : `${grouped(rate)} rows/s`],
    ['Done', etaSeconds === null ? '–' : doneAbout(nowMs, etaSeconds)],
    ['Elapsed', duration(Math.max(0, nowMs - run.createdAtMs) / 1000)],
    ['Pace', paceOf(status)],
  ]
}

/** To the minute, or to ten seconds where it is sooner: what changes every second cannot be read. */
function doneAbout(nowMs: number, seconds: number): Html {
  const stepMs = seconds < 60 ? 10_000 : 60_000
  const atMs = Math.ceil((nowMs + seconds * 1000) / stepMs) * stepMs
  return html`about ${clock(atMs)} (in ${duration(seconds)})`
}

function timesWhenOver({ run, status, timeline }: RunView): Fact[] {
  const endedAtMs = completedAtMs(status, timeline) ?? timeline.findLast(({ kind }) => kind === 'cancelled')?.atMs
  if (endedAtMs === undefined) return []
  const seconds = Math.max(1, (endedAtMs - run.createdAtMs) / 1000)
  return [
    [status.state === 'cancelled' ? 'Cancelled' : 'Finished', moment(endedAtMs)],
    ['Took', duration(seconds)],
    ['Mean rate', `${grouped(Math.round(status.totals.read / seconds))} rows/s`],
  ]
}

function paceOf({ pace: { limit, effective, reason } }: RunStatus): string {
  if (effective === limit || effective === null) return paceText(limit)
  const of = limit === null ? `${grouped(effective)} events/s` : `${grouped(effective)} of ${paceText(limit)}`
  return reason === null ? of : `${of}: ${reason}`
}

function rejectedOf(run: string, { totals: { rejected, read } }: RunStatus): string | Html {
  if (rejected === 0) return '0'
  return html`<a class="bad" href="/runs/${run}/rejected">${grouped(rejected)} (${shareText(rejected, read)})<span class="heard"> rows rejected</span></a>`
}

/** Never 0 % of something. */
export function shareText(part: number, whole: number): string {
  const percent = whole === 0 ? 0 : (100 * part) / whole
  return percent < 0.1 ? 'under 0.1%' : `${percent.toFixed(1)}%`
}
