import type { PostHogVerification, SourceVerification, Verification } from '@heapferry/domain'
import { counted, grouped, monthText, whoText } from '@heapferry/migration'
import { table } from './print.ts'
import { shortened } from './status-text.ts'
import { sectionsText, wrapped } from './terminal.ts'

/** For a terminal of 80 columns. */
export function verificationText(verification: Verification): string {
  const { run, message, notes } = verification
  return sectionsText([
    wrapped(`${run}: ${message}`, ''),
    ...(verification.kind === 'posthog' ? postHogSections(verification) : [sourceLines(verification)]),
    notes.length === 0 ? [] : ['Notes:', ...notes.flatMap((note) => wrapped(note, '  - '))],
  ])
}

const shownEvents = 40
const shownDays = 20

function postHogSections(verification: PostHogVerification): string[][] {
  return [
    eventLines(verification),
    differingLines(verification),
    peopleLines(verification),
    uniquePeopleLines(verification),
    sampledPeopleLines(verification),
  ]
}

/** `differ`: on how many days. */
function eventLines({ events, more_events, totals }: PostHogVerification): string[] {
  if (events.length === 0) return []
  const rows = [...events.slice(0, shownEvents), { event: 'all', ...totals, differing_days: null }].map((one) => [
    shortened(one.event, 28),
    ...[one.sent, one.expected, one.found].map(grouped),
    one.differing_days === null || one.differing_days === 0 ? '' : `${grouped(one.differing_days)} days differ`,
  ])
  const more = events.length - Math.min(shownEvents, events.length) + more_events
  return [
    ...table(['event', 'sent', 'distinct', 'found', ''], rows).split('\n'),
    ...(more > 0 ? [`  and ${grouped(more)} more events (--json has all)`] : []),
  ]
}

function differingLines({ differing, more_differing }: PostHogVerification): string[] {
  if (differing.length === 0) return []
  const rows = differing
    .slice(0, shownDays)
    .map(({ event, day, expected, found }) => [`  ${day}  ${shortened(event, 34)}`, grouped(expected), grouped(found)])
  const more = differing.length - Math.min(shownDays, differing.length) + more_differing
  return [
    ...table(['Days that differ (UTC):', 'expected', 'found'], rows).split('\n'),
    ...(more > 0 ? [`  and ${grouped(more)} more (--json has all)`] : []),
  ]
}

function peopleLines({ people }: PostHogVerification): string[] {
  if (people === null) return []
  const { sampled, joined, apart, absent, mixed } = people
  const rest = [
    ...(apart > 0 ? [`${grouped(apart)} are still apart`] : []),
    ...(absent > 0 ? [`${grouped(absent)} are not found`] : []),
    ...(mixed > 0 ? [`${grouped(mixed)} people are merged with somebody else`] : []),
  ]
  const text = [`People: of ${grouped(sampled)} sampled merges, ${grouped(joined)} are in place`, ...rest].join(', ')
  return wrapped(`${text}.`, '')
}

function uniquePeopleLines({ unique_people: counts }: PostHogVerification): string[] {
  if (counts === null || counts.compared === 0) return []
  const { compared, differing, more_differing } = counts
  const agreeing = compared - differing.length - more_differing
  const text = `People by event and month: ${grouped(agreeing)} of ${counted(compared, 'count')} the same`
  if (differing.length === 0) return [`${text}.`]
  const rows = differing
    .slice(0, shownDays)
    .map((one) => [`  ${monthText(one)}  ${shortened(one.event, 34)}`, grouped(one.expected), grouped(one.found)])
  const more = differing.length - Math.min(shownDays, differing.length) + more_differing
  const [first] = differing.filter(({ people }) => people.length > 0)
  return [
    `${text}.`,
    ...table(['People that differ (months of UTC):', 'Heap', 'PostHog'], rows).split('\n'),
    ...(more > 0 ? [`  and ${grouped(more)} more (--json has all)`] : []),
    ...(first ? [`  Of ${shortened(first.event, 34)} in ${monthText(first)}:`] : []),
    ...(first?.people ?? []).flatMap((one) => wrapped(whoText(one), '  - ')),
  ]
}

function sampledPeopleLines({ unique_people: counts }: PostHogVerification): string[] {
  if (!counts?.sample) return []
  const { people, differing } = counts.sample
  const text = `Events of people: ${grouped(people - differing.length)} of ${grouped(people)} sampled have theirs in PostHog.`
  return [
    ...wrapped(text, ''),
    ...differing
      .slice(0, shownPeople)
      .flatMap((one) =>
        wrapped(
          `${whoText(one)}; ${counted(one.expected_events, 'event')} were sent, ${grouped(one.found_events)} are found`,
          '  - ',
        ),
      ),
  ]
}

const shownPeople = 3

function sourceLines({ tables }: SourceVerification): string[] {
  if (tables.length === 0) return []
  return tables.flatMap(({ table: name, figures, differs }) => {
    if (!differs) {
      const read = figures.find(({ figure }) => figure === 'read')
      return [`  ${shortened(name, 40).padEnd(40)}  ${grouped(read?.ledger ?? 0).padStart(14)} rows: the same`]
    }
    const lines = figures
      .filter(({ ledger, source }) => ledger !== source)
      .map(({ figure, ledger, source }) => [`      ${figure}`, grouped(ledger), grouped(source)])
    return [`  ${shortened(name, 74)}:`, ...table(['', 'ledger', 'export'], lines).split('\n')]
  })
}
