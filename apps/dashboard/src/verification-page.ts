import {
  Day,
  type PostHogVerification,
  type Run,
  type TimelineEntry,
  type VerificationUnderWay,
  type VerifiedDay,
  type VerifiedEvent,
  type VerifiedPeople,
} from '@heapferry/domain'
import { counted, grouped, monthText, whoText } from '@heapferry/migration'
import { z } from 'zod'
import { type Html, html } from './html.ts'
import { moment } from './moment.ts'
import type { Content } from './page.ts'
import { dayOf, dayText, type Step, stepsOf, type Stretch } from './stretches.ts'
import { type Line, tableOf } from './table.ts'

/** What an address says of the days and events that are meant. What cannot be meant so is everything. */
export const VerificationQuery = z.object({
  from: Day.optional().catch(undefined),
  to: Day.optional().catch(undefined),
  page: z.coerce.number().int().min(1).catch(1),
})
export type VerificationQuery = z.infer<typeof VerificationQuery>

interface Shown {
  last: PostHogVerification | null
  /** The sum of all, and those of the page; none where an older version has kept none. */
  events: readonly VerifiedEvent[]
  underWay: VerificationUnderWay | null
  /** Where the last one that was wanted on a page has failed. */
  failure: Extract<TimelineEntry, { kind: 'verification_failed' }> | null
  /** The visitor may have it done. */
  offers: boolean
  /** The visitor may see user ids. */
  showsIds: boolean
}

const shownEvents = 20

/** Which events a page shows: those that differ first, then the largest. */
export function eventsOnPage({ events }: PostHogVerification, { page }: VerificationQuery): string[] {
  const sorted = events.toSorted((a, b) => Number(b.differing_days > 0) - Number(a.differing_days > 0))
  const at = Math.min(page, pagesOf(events)) - 1
  return sorted.slice(at * shownEvents, (at + 1) * shownEvents).map(({ event }) => event)
}

function pagesOf(events: PostHogVerification['events']): number {
  return Math.max(1, Math.ceil(events.length / shownEvents))
}

/** What PostHog was found to hold: of all events and each, by days, months or years, and of their people. */
export function verificationPage(run: Run, asked: VerificationQuery, shown: Shown): Content {
  const { last, underWay, offers } = shown
  return {
    title: `Verification · ${run.id}`,
    live: underWay !== null,
    main: html`<h1 id="title">Verification of <a href="/runs/${run.id}">${run.id}</a></h1>
<section id="verdict">${verdictOf(last, underWay, shown.failure)}
${offers && underWay === null ? html`<p class="actions"><a class="button" href="/runs/${run.id}/verify">${last === null ? 'Verify…' : 'Verify again…'}</a></p>` : html``}
${last === null && underWay === null && !offers ? html`<p>Compare with what PostHog holds: <code>heapferry verify ${run.id}</code></p>` : html``}
${last === null || last.notes.length === 0 ? html`` : html`<ul class="steps">${last.notes.map((note) => html`<li>${note}</li>`)}</ul>`}</section>
${last === null ? html`` : calendarOf(run, asked, { ...shown, last })}`,
  }
}

/** The last verdict, and whether somebody is at another one. */
export function verdictOf(
  last: PostHogVerification | null,
  underWay: VerificationUnderWay | null,
  failure: Shown['failure'],
): Html {
  return html`${
    last === null
      ? html`<p>Nobody has compared this run with what PostHog holds.</p>`
      : html`<p><span class="state ${last.verdict}">${last.verdict}</span> ${last.message}</p>
<p class="facts">Compared ${moment(Date.parse(last.verified_at))} by ${last.by}.${last.look_again_at === null ? html`` : html` Look again from ${moment(Date.parse(last.look_again_at))} on.`}</p>`
  }
${underWay === null ? html`` : html`<p><strong role="status">Verifying:</strong> ${progressText(underWay)} <span class="facts">By ${underWay.by}, since ${moment(underWay.sinceMs)}</span></p>`}
${failure === null || underWay !== null ? html`` : html`<p class="bad">What ${failure.by} wanted verified ${moment(failure.atMs)} could not be: ${failure.detail}</p>`}`
}

function progressText({ progress }: VerificationUnderWay): string {
  return progress.kind === 'asking'
    ? 'PostHog is asked what it holds.'
    : `The export is read again: ${progress.table}, ${grouped(progress.rows)} rows.`
}

type ShownVerification = Shown & { last: PostHogVerification }

function calendarOf(run: Run, asked: VerificationQuery, { last, events, showsIds }: ShownVerification): Html {
  const whole = stretchOf(events)
  if (whole === null)
    return last.totals.sent === 0
      ? html``
      : html`<p>It was kept by a version that kept no days: verify again to see them.</p>`
  const stretch = {
    from: Math.max(whole.from, asked.from === undefined ? whole.from : dayOf(asked.from)),
    to: Math.min(whole.to, asked.to === undefined ? whole.to : dayOf(asked.to)),
  }
  const { unit, steps } = stepsOf(stretch.from <= stretch.to ? stretch : whole)
  const pages = pagesOf(last.events)
  const page = Math.min(asked.page, pages)
  const link = (change: Partial<VerificationQuery>, text: string) => addressed(run, { ...asked, page, ...change }, text)
  const isWhole = steps[0]?.from === whole.from && steps.at(-1)?.to === whole.to
  return html`<section id="calendar"><h2>Events by ${unit}</h2>
<nav class="choice" aria-label="Stretch">${isWhole ? html`` : html`${link({ from: undefined, to: undefined }, 'Whole run')}<span>${spanText(steps)}</span>`}${unit === 'day' ? html`` : html`<span class="hint">Open a ${unit} to see its ${unit === 'year' ? 'months' : 'days'}.</span>`}</nav>
${legend(last.verdict)}
<div class="scroll" role="region" tabindex="0" aria-label="Events by ${unit}">${heatMap(run, page, { events, steps, unit, verdict: last.verdict })}</div>
<nav id="pages" class="choice" aria-label="Pages">${pages === 1 ? html`` : html`<span>Events: page ${grouped(page)} of ${grouped(pages)}</span> ${page > 1 ? link({ page: page - 1 }, 'before') : html``}${page < pages ? link({ page: page + 1 }, 'next') : html``}`}${last.more_events === 0 ? html`` : html`<span class="hint">and ${grouped(last.more_events)} more, which were not kept: <code>heapferry verify ${run.id} --json</code></span>`}</nav>
<details id="numbers"><summary>The same as a table</summary>${numbersOf(events, steps, unit, last.verdict)}</details></section>
<section id="people"><h2>People by month</h2>${peopleOf(last, events, { steps, unit, showsIds })}</section>`
}

function stretchOf(events: readonly VerifiedEvent[]): Stretch | null {
  const days = events.find(({ event }) => event === null)?.days ?? []
  const [first] = days
  const end = days.at(-1)
  return first && end ? { from: first.day, to: end.day } : null
}

function spanText(steps: readonly Step[]): string {
  const [first] = steps
  const end = steps.at(-1)
  return first && end ? `${dayText(first.from)} to ${dayText(end.to)}` : ''
}

function addressed(run: Run, { from, to, page }: VerificationQuery, text: string | Html, name = ''): Html {
  const query = new URLSearchParams({
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(page > 1 && { page: String(page) }),
  }).toString()
  return html`<a href="/runs/${run.id}/verification${query === '' ? '' : `?${query}`}"${name === '' ? html`` : html` aria-label="${name}"`}>${text}</a> `
}

/** What there is to tell of some days of an event. */
interface Sum extends Omit<VerifiedDay, 'day'> {
  outcome: 'nothing' | 'found' | 'pending' | 'missing' | 'more'
}

function sumOf(days: readonly VerifiedDay[], { from, to }: Stretch, verdict: PostHogVerification['verdict']): Sum {
  const sum = { sent: 0, expected: 0, found: 0, missing: 0 }
  for (const one of days) {
    if (one.day < from || one.day > to) continue
    for (const figure of ['sent', 'expected', 'found', 'missing'] as const) sum[figure] += one[figure]
  }
  return { ...sum, outcome: outcomeOf(sum, verdict) }
}

function outcomeOf(
  { sent, expected, found, missing }: Omit<Sum, 'outcome'>,
  verdict: PostHogVerification['verdict'],
): Sum['outcome'] {
  if (missing > 0) return verdict === 'pending' ? 'pending' : 'missing'
  if (found > expected) return 'more'
  return sent === 0 ? 'nothing' : 'found'
}

function outcomeText({ outcome, expected, found, missing }: Sum): string {
  const extra = found - expected + missing
  const more = extra > 0 ? `, ${grouped(extra)} more than were sent` : ''
  switch (outcome) {
    case 'nothing':
      return 'nothing sent'
    case 'found':
      return 'all found'
    case 'pending':
      return `${grouped(missing)} not found yet${more}`
    case 'missing':
      return `${grouped(missing)} missing${more}`
    case 'more':
      return `${grouped(extra)} more than were sent`
  }
}

const signs = { nothing: '', found: '✓', pending: '…', missing: '−', more: '+' } as const

/** What a cell shows: a sign, and of how many of the events it is true. */
function signOf(sum: Sum): string {
  const { outcome, expected, found, missing } = sum
  const sign = signs[outcome]
  const few = outcome === 'more' ? found - expected : missing
  if (outcome !== 'missing' && outcome !== 'pending' && outcome !== 'more') return sign
  const percent = expected === 0 ? 100 : (100 * few) / expected
  return `${sign}${percent < 1 ? '<1' : Math.min(Math.floor(percent), 999)}%`
}

/** The more is wrong, the stronger the colour. */
function strengthOf({ expected, missing, outcome }: Sum): string {
  if (outcome !== 'missing' && outcome !== 'pending') return outcome
  const share = expected === 0 ? 1 : missing / expected
  return `${outcome} ${share < 0.01 ? 'few' : share < 0.1 ? 'some' : 'many'}`
}

interface Calendar {
  events: readonly VerifiedEvent[]
  steps: readonly Step[]
  unit: 'day' | 'month' | 'year'
  verdict: PostHogVerification['verdict']
}

function heatMap(run: Run, page: number, { events, steps, unit, verdict }: Calendar): Html {
  const groups: { group: string; size: number }[] = []
  for (const { group } of steps) {
    const before = groups.at(-1)
    if (group !== null && before?.group === group) before.size++
    else if (group !== null) groups.push({ group, size: 1 })
  }
  const head = (step: Step): Html =>
    unit === 'day'
      ? html`<span aria-hidden="true">${step.label}</span><span class="heard">${step.name}</span>`
      : addressed(run, { from: dayText(step.from), to: dayText(step.to), page }, step.label, step.name)
  return html`<table class="heat">
<thead>${groups.length === 0 ? html`` : html`<tr><td></td>${groups.map(({ group, size }) => html`<th scope="colgroup" colspan="${size}">${group}</th>`)}</tr>`}
<tr><th scope="col">event</th>${steps.map((step) => html`<th scope="col">${head(step)}</th>`)}</tr></thead>
<tbody>${events.map(({ event, days }) => {
    const cells = steps.map((step) => {
      const sum = sumOf(days, step, verdict)
      const text = `${step.name}: ${outcomeText(sum)}${sum.expected === 0 ? '' : ` of ${grouped(sum.expected)}`}`
      return html`<td class="${strengthOf(sum)}" title="${text}"><span aria-hidden="true">${signOf(sum)}</span><span class="heard">${text}</span></td>`
    })
    return html`<tr><th scope="row">${event ?? 'all events'}</th>${cells}</tr>
`
  })}</tbody></table>`
}

function legend(verdict: PostHogVerification['verdict']): Html {
  const outcomes =
    verdict === 'pending' ? (['found', 'pending', 'more'] as const) : (['found', 'missing', 'more'] as const)
  const texts = {
    found: 'all found',
    pending: 'not found yet, with the share',
    missing: 'missing, with the share',
    more: 'more than were sent',
  } as const
  return html`<p class="hint legend">${outcomes.map((outcome) => html`<span><span class="key ${outcome}" aria-hidden="true">${signs[outcome]}</span> ${texts[outcome]}</span>`)}<span>blank: nothing sent</span></p>`
}

function numbersOf(
  events: readonly VerifiedEvent[],
  steps: readonly Step[],
  unit: Calendar['unit'],
  verdict: PostHogVerification['verdict'],
): Html {
  const lines = events.flatMap(({ event, days }) =>
    steps.flatMap((step): Line[] => {
      const sum = sumOf(days, step, verdict)
      if (sum.outcome === 'nothing') return []
      const isBad = sum.outcome === 'missing' || sum.outcome === 'more'
      return [
        {
          name: event ?? 'all events',
          cells: [
            { text: step.name, kind: 'words' },
            { text: grouped(sum.sent) },
            { text: grouped(sum.expected) },
            { text: grouped(sum.found) },
            { text: isBad ? html`<span class="bad">${outcomeText(sum)}</span>` : outcomeText(sum), kind: 'words' },
          ],
        },
      ]
    }),
  )
  return html`<p class="hint">Distinct: rows that the export repeats are one event.</p>${tableOf(['event', unit, 'sent', 'distinct', 'found', 'outcome'], lines)}`
}

const peopleTexts: Readonly<Record<VerifiedPeople['outcome'], string>> = {
  same: 'the same',
  differs: 'differs',
  not_compared: 'not compared: not the events that were sent are there',
}

function peopleOf(
  { unique_people: counts }: PostHogVerification,
  events: readonly VerifiedEvent[],
  { steps, unit, showsIds }: Pick<Calendar, 'steps' | 'unit'> & { showsIds: boolean },
): Html {
  if (counts === null)
    return html`<p>People were not counted. That takes reading the export once more, and all events to be there: <code>heapferry verify --people</code> does it for a large one.</p>`
  const { compared, differing, more_differing, sample } = counts
  const [first] = steps
  const end = steps.at(-1)
  const named = new Map(differing.map((one) => [`${one.event} ${one.from}`, one.people]))
  const linesOf = (isMeant: (outcome: VerifiedPeople['outcome']) => boolean): Line[] =>
    events.flatMap(({ event, people }) =>
      (people ?? []).flatMap(({ from, to, expected, found, outcome }): Line[] => {
        if (!isMeant(outcome)) return []
        if (event === null || !first || !end || to < first.from || from > end.to) return []
        if (unit === 'year' && outcome !== 'differs') return []
        const who = showsIds ? (named.get(`${event} ${dayText(from)}`) ?? []) : []
        const text = [peopleTexts[outcome], ...who.map(whoText)].join('; ')
        return [
          {
            name: event,
            cells: [
              { text: monthText({ from: dayText(from), to: dayText(to) }), kind: 'words' },
              { text: grouped(expected) },
              { text: grouped(found) },
              { text: outcome === 'differs' ? html`<span class="bad">${text}</span>` : text, kind: 'words' },
            ],
          },
        ]
      }),
    )
  const same = linesOf((outcome) => outcome === 'same')
  const agreeing = compared - differing.length - more_differing
  const ofSample =
    sample === null
      ? ''
      : ` Of ${counted(sample.people, 'sampled person', 'sampled people')}, ${grouped(sample.people - sample.differing.length)} have their events in PostHog.`
  return html`<p>By event and month, after all merges: ${grouped(agreeing)} of ${counted(compared, 'count')} the same.${ofSample}</p>
${unit === 'year' ? html`<p class="hint">Open a year to see all of its counts.</p>` : html``}
${tableOfPeople(linesOf((outcome) => outcome !== 'same'))}
${same.length <= calmLines ? tableOfPeople(same) : html`<details id="same-people"><summary>${counted(same.length, 'count')} the same</summary>${tableOfPeople(same)}</details>`}`
}

// As many fit on a screen.
const calmLines = 12

function tableOfPeople(lines: readonly Line[]): Html {
  return lines.length === 0
    ? html``
    : tableOf(['event', 'month', 'people in Heap', 'people in PostHog', 'outcome'], lines)
}
