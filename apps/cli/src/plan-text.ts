import { OperatorError, type ToldBy, type TransportName, visible } from '@heapferry/domain'
import {
  type ChangedRow,
  counted,
  duration,
  type ExportPlan,
  type Figure,
  grouped,
  type MappingComparison,
  percent,
  type PlannedRow,
  type PlanProgress,
  type PlanWarning,
  propertyChanges,
  rejectText,
  type PlannedPlace,
  skipText,
  suggestedCasts,
  type TableChanges,
  type TablePlan,
} from '@heapferry/migration'
import { figure, sizeText } from './figure-text.ts'
import { table } from './print.ts'
import { shortened } from './status-text.ts'
import { supportRequest } from './support-request.ts'
import { sectionsText, width, wrapped } from './terminal.ts'

/**
 * The plan for a terminal of 80 columns.
 * @param only the name of a table that is shown alone, with everything that is known of it
 * @param transport how its events would be sent
 * @throws OperatorError when the export has no such table
 */
export function planText(
  plan: ExportPlan,
  { only, transport }: { only: string | null; transport: TransportName | 'auto' },
): string {
  if (only !== null) return wholeTable(plan, only)
  // Who compares two mappings has seen the plan.
  return sectionsText([
    heading(plan),
    faultLines(plan),
    noteLines(plan),
    ...(plan.against === null ? wholePlan(plan, transport) : [comparisonLines(plan.against, plan.mapping_fingerprint)]),
  ])
}

function wholePlan(plan: ExportPlan, transport: TransportName | 'auto'): string[][] {
  return [
    tableLines(plan),
    rowLines(plan),
    castSuggestions(plan),
    peopleLines(plan),
    sessionLines(plan),
    firstTouchLines(plan),
    timeLines(plan),
    repeatedLines(plan),
    allEventsLines(plan),
    deliveryLines(plan),
    ...plan.tables.map(shortTable),
    ['If you write to PostHog before you import:', '', ...supportRequest(plan, transport)],
  ]
}

export function planProgressText({ doing, table: name, rows, of }: PlanProgress): string {
  const share = of === null ? '' : ` (${percent(rows, of)})`
  switch (doing) {
    case 'reading_people':
      return `Reading who is who: ${shortened(name, 40)}, ${grouped(rows)} rows`
    case 'sampling':
      return `Looking at ${shortened(name, 60)}`
    case 'reading_rows':
      return `Reading every row: ${shortened(name, 40)}, ${grouped(rows)}${share}`
  }
}

function heading({ source, tables, totals, full }: ExportPlan): string[] {
  const { files, bytes } = totals
  return [
    ...wrapped(`${source}: ${counted(tables.length, 'table')} in ${counted(files, 'file')}, ${sizeText(bytes)}`, ''),
    full
      ? 'Every row was read. Nothing was sent.'
      : 'Figures with ~ are estimated from samples. --full reads all. Nothing was sent.',
  ]
}

function faultLines({ faults }: ExportPlan): string[] {
  if (faults.length === 0) return []
  return [
    `${counted(faults.length, 'file')} cannot be read; nothing can be migrated before that is mended:`,
    ...faults.flatMap(({ problem, hint }) => [
      ...problem.split('\n').flatMap((line) => wrapped(line, '  - ')),
      ...wrapped(hint, '    → '),
    ]),
  ]
}

function noteLines({ warnings, notices }: ExportPlan): string[] {
  const lines = [...warningTexts(warnings), ...notices].flatMap((text) => wrapped(text, '  - '))
  return lines.length === 0 ? [] : ['To look at:', ...lines]
}

const castsShown = 20

/** Text arrives as text, whatever it looks like; the mapping can make more of it. */
function castSuggestions({ tables }: ExportPlan): string[] {
  const casts = suggestedCasts(tables)
  if (casts.length === 0) return []
  const more = casts.length - castsShown
  return [
    'Text that is something else throughout (mapping init writes these rules):',
    ...casts.slice(0, castsShown).flatMap(({ column, as, values, exceptions }) => {
      const few = exceptions === 0 ? 'all' : `all but ${grouped(exceptions)}`
      return wrapped(`${visible(column)}: ${as} (${few} of ${grouped(values)} sampled values)`, '  - ')
    }),
    ...(more > 0 ? [`  … and ${counted(more, 'more column')} (--json lists them)`] : []),
  ]
}

function warningTexts(warnings: readonly PlanWarning[]): string[] {
  const clocks = warnings.filter((warning) => warning.kind === 'wrong_clocks')
  const ofClocks = clocks.map(({ table: name, before_2010, in_future }) => {
    return `${name} (${figure(before_2010)} and ${figure(in_future)})`
  })
  return [
    ...warnings.flatMap((warning) => warningText(warning) ?? []),
    ...(clocks.length === 0
      ? []
      : [`Rows with times before 2010 and in the future, from clocks that were wrong: ${ofClocks.join(', ')}.`]),
  ]
}

/** Null where one sentence is about several tables. */
function warningText(warning: PlanWarning): string | null {
  switch (warning.kind) {
    case 'rounded_ids':
      return `${warning.table}: most ids of ${warning.file} end in 0, as a spreadsheet leaves them: it has cut them to 15 digits, and rows of different people or events may have become one. Export the table again.`
    case 'many_rejected':
      return `${warning.table}: ${figure(warning.rejected)} of ${figure(warning.rows)} rows would be rejected. That is a fault of the export rather than of single rows.`
    case 'not_cast':
      return `${warning.table}: ${warning.column} is no ${warning.as} in ${figure(warning.rows)} rows; there it stays text.`
    case 'no_people':
      return 'The export has no users table: events arrive under the ids of Heap, and nobody gets a name or properties.'
    case 'wrong_clocks':
      return null
  }
}

function comparisonLines(against: MappingComparison, inForce: string): string[] {
  const { differences, not_compared, tables, mapping_fingerprint } = against
  const heads = `The mapping in force (${inForce}) and the other one (${mapping_fingerprint})`
  if (differences.length === 0) return wrapped(`${heads} say the same.`, '')
  const changed = tables.filter((one) => one.changed > 0)
  const unchanged = tables.length - changed.length
  return [
    ...wrapped(`${heads} differ in:`, ''),
    ...differences.flatMap((text) => wrapped(text, '  - ')),
    ...(not_compared.length === 0
      ? []
      : wrapped(
          `Not compared is how files are read: ${not_compared.join('; ')}. Plan with each of the two to see it.`,
          '',
        )),
    '',
    ...(changed.length === 0 ? ['No event of the sampled rows would change.'] : changed.flatMap(changedTableLines)),
    ...(changed.length === 0 || unchanged === 0
      ? []
      : [`In ${counted(unchanged, 'other table')} nothing would change.`]),
    ...identityLines(changed),
  ]
}

const propertiesShown = 10

function changedTableLines(one: TableChanges): string[] {
  const counts: [number, string][] = [
    [one.names, 'get another name'],
    [one.uuids, 'get another uuid'],
    [one.distinct_ids, 'get another distinct_id'],
    [one.timestamps, 'get another time'],
    [one.sent_no_more, 'are not sent any more'],
    [one.sent_newly, 'are sent now'],
  ]
  const more = one.properties.length - propertiesShown
  return [
    ...wrapped(`${one.table}: of ${grouped(one.rows)} sampled rows ${grouped(one.changed)} would change`, ''),
    ...counts.filter(([count]) => count > 0).map(([count, what]) => `${grouped(count).padStart(countWidth)}  ${what}`),
    ...one.properties.slice(0, propertiesShown).flatMap(({ property, added, removed, changed }) => {
      const parts = [
        added > 0 && `added to ${grouped(added)}`,
        removed > 0 && `gone from ${grouped(removed)}`,
        changed > 0 && `another value in ${grouped(changed)}`,
      ].filter((part) => part !== false)
      return columnLines({ column: property, becomes: parts })
    }),
    ...(more > 0 ? [`  … and ${counted(more, 'more property', 'more properties')} (--json lists them)`] : []),
    ...one.samples.flatMap((sample, nth) => [
      `  ${nth + 1}. ${placeText(sample.place, width - 5)}`,
      ...changedRowLines(sample),
    ]),
    '',
  ]
}

const rowLinesShown = 12

function changedRowLines({ before, after }: ChangedRow): string[] {
  if (before.kind !== 'event' || after.kind !== 'event')
    return [`     - ${outcomeText(before)}`, `     + ${outcomeText(after)}`].map((line) => shortened(line, width))
  const keys = ['event', 'distinct_id', 'timestamp', 'uuid'] as const
  const lines = [
    ...keys
      .filter((key) => before.event[key] !== after.event[key])
      .map((key) => ({ property: key, before: before.event[key], after: after.event[key] })),
    ...propertyChanges(before.event, after.event),
  ].flatMap(({ property, before: from, after: to }) => [
    ...(from === undefined ? [] : [shortened(`     - ${property}: ${JSON.stringify(from)}`, width)]),
    ...(to === undefined ? [] : [shortened(`     + ${property}: ${JSON.stringify(to)}`, width)]),
  ])
  const more = lines.length - rowLinesShown
  return more > 1 ? [...lines.slice(0, rowLinesShown), `     … and ${more} more (--json has all)`] : lines
}

function outcomeText(outcome: ChangedRow['before']): string {
  switch (outcome.kind) {
    case 'event':
      return `${outcome.event.event} of ${outcome.event.distinct_id} at ${outcome.event.timestamp}`
    case 'skip':
      return `nothing: ${outcome.reason}`
    case 'reject':
      return `rejected: ${outcome.reason}`
  }
}

/** What PostHog would make of the changed events, should it hold the others already. */
function identityLines(changed: readonly TableChanges[]): string[] {
  if (changed.length === 0) return []
  const others = changed.filter(
    ({ names, uuids, distinct_ids, timestamps }) => names + uuids + distinct_ids + timestamps > 0,
  )
  return wrapped(
    others.length === 0
      ? 'Uuids, names, times and distinct_ids stay the same: PostHog would take these events for those that it may hold already.'
      : `PostHog would take the events of ${others.map((one) => one.table).join(', ')} for new ones, and keep those that it may hold already.`,
    '',
  )
}

const tableNameWidth = 26

function tableLines({ tables, totals }: ExportPlan): string[] {
  if (tables.length === 0) return []
  const rows = tables.map((one) => [
    cutInside(one.table, tableNameWidth),
    figure(one.rows),
    sizeText(one.bytes),
    ...monthsOf(one.time),
    becomes(one),
  ])
  const sum = ['all', figure(totals.rows), sizeText(totals.bytes), ...monthsOf(totals.time), '']
  return table(['table', 'rows', 'bytes', 'from', 'to', 'becomes'], [...rows, sum]).split('\n')
}

function monthsOf(time: TablePlan['time']): [string, string] {
  const about = time?.exact === false ? '~' : ''
  return time === null ? ['', ''] : [about + time.from.slice(0, 7), about + time.to.slice(0, 7)]
}

function becomes({ kind, event_names }: TablePlan): string {
  if (event_names.length === 0) return 'nothing'
  if (kind === 'users' || kind === 'identify') return 'people'
  if (kind === 'groups') return 'groups'
  return kind === 'user_migrations' ? 'merges' : kind === 'pageviews' ? 'pageviews' : 'events'
}

const countWidth = 14
const belowCount = ' '.repeat(countWidth + 2)

function rowLines({ totals }: ExportPlan): string[] {
  return [
    `What becomes of ${figure(totals.rows)} rows:`,
    countLine(totals.events, 'become events'),
    ...totals.skipped.flatMap(({ reason, rows }) => [
      countLine(rows, `are left out: ${reason}`),
      ...wrapped(skipText[reason], belowCount),
    ]),
    ...totals.rejected.flatMap(({ reason, rows, places }) => [
      countLine(rows, `are rejected: ${reason}`),
      ...wrapped(rejectText[reason], belowCount),
      ...places.map((place) => belowCount + placeText(place, width - belowCount.length)),
    ]),
  ]
}

function countLine(rows: Figure, text: string): string {
  return `${figure(rows).padStart(countWidth)}  ${text}`
}

function placeText({ file, row, byte }: PlannedPlace, length: number): string {
  const where = row === null ? `, byte ${grouped(byte)}` : `: row ${grouped(row)} (byte ${grouped(byte)})`
  return cutInside(file, length - where.length) + where
}

const conflictsShown = 5

function sessionLines({ session_index: index }: ExportPlan): string[] {
  if (!index) return []
  const pageviews = index.pageviews.count === 0 ? '' : ` and ${figure(index.pageviews)} pageviews`
  return wrapped(
    `Sessions: ${figure(index.sessions)} sessions${pageviews} are put in order before any event is sent (about ${sizeText(index.bytes)} in the work store, and ${sizeText(index.scratch_bytes)} in HEAPFERRY_HOME meanwhile), so that rows get what they do not say themselves: see enrich in the mapping file; none turns it off. It is not in the rows that are shown here.`,
    '',
  )
}

function peopleLines({ people }: ExportPlan): string[] {
  if (people.ids === 0) return []
  const { first_conflicts, conflicts, ids, largest_person_ids, migrations } = people
  const more = conflicts - Math.min(conflictsShown, first_conflicts.length)
  return [
    ...wrapped(
      `People: ${grouped(ids)} user ids that have an identity or are migrated belong to ${grouped(people.people)} people. ${grouped(migrations)} migrations join at most ${grouped(largest_person_ids)} ids to one person.`,
      '',
    ),
    ...(conflicts === 0
      ? []
      : [
          ...wrapped(
            `${counted(conflicts, 'conflict')}: following Heap's migrations would make one person of several identities. PostHog cannot take such a merge back, so none of these is made; the ids stay apart and the rows are rejected:`,
            '  ',
          ),
          ...first_conflicts
            .slice(0, conflictsShown)
            .flatMap((conflict) =>
              wrapped(
                `${counted(conflict.ids, 'id')} with ${conflict.identities} identities: ${conflict.some.join(', ')}${conflict.ids > conflict.some.length ? ' …' : ''}`,
                '    ',
              ),
            ),
          ...(more > 0 ? [`    and ${grouped(more)} more (--json lists a hundred)`] : []),
        ]),
  ]
}

function firstTouchLines({ first_touch: touch }: ExportPlan): string[] {
  if (touch === null) return []
  const { from, people, samples } = touch
  const who = people.exact
    ? counted(people.count, 'person', 'people')
    : `about ${counted(people.count, 'person', 'people')} (an estimate from sampled rows; --full counts them)`
  return [
    ...wrapped(`First touch: ${who} are sent what was first of them, and where they were last, from ${from}:`, ''),
    ...samples.flatMap(({ distinct_id, time, set_once, set }) => [
      shortened(`  ${visible(distinct_id)}  ${time}`, width),
      ...clipped(JSON.stringify({ $set_once: withoutNulls(set_once), $set: set }), '    ', 3),
    ]),
  ]
}

/** What was not there at first is sent, too, but is long. */
function withoutNulls(properties: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== null))
}

/** A line for each year, a bar for each of its months. */
function timeLines({ events_per_day }: ExportPlan): string[] {
  if (events_per_day === null) return []
  const months = new Map<string, number>()
  for (const [day, count] of Object.entries(events_per_day))
    months.set(day.slice(0, 7), (months.get(day.slice(0, 7)) ?? 0) + count)
  if (months.size === 0) return []
  const most = Math.max(...months.values())
  const years = [...new Set([...months.keys()].map((month) => month.slice(0, 4)))]
  const [busiestDay, busiest] = Object.entries(events_per_day).reduce((best, next) => (next[1] > best[1] ? next : best))
  return [
    'Events by month, January to December:',
    ...years.map((year) => {
      const counts = Array.from(
        { length: 12 },
        (_, at) => months.get(`${year}-${String(at + 1).padStart(2, '0')}`) ?? 0,
      )
      const sum = counts.reduce((all, count) => all + count, 0)
      return `  ${year}  ${counts.map((count) => bar(count, most)).join('')}  ${grouped(sum).padStart(countWidth)}`
    }),
    `  The busiest day is ${busiestDay} with ${grouped(busiest)}.`,
  ]
}

const bars = '▁▂▃▄▅▆▇█'

/** Whatever is there has a bar, however low. */
function bar(count: number, most: number): string {
  return count === 0 ? '·' : bars.charAt(Math.ceil((count / most) * bars.length) - 1)
}

function repeatedLines({ repeated_events }: ExportPlan): string[] {
  if (repeated_events === null) return []
  const { between_tables, within_tables } = repeated_events
  return [
    ...(within_tables.length === 0
      ? []
      : [
          ...wrapped('Rows that repeat the event_id of another row of their table; PostHog keeps one of them:', ''),
          ...within_tables.map(({ table: name, rows }) => countLine(rows, shortened(name, width - belowCount.length))),
        ]),
    ...(between_tables.length === 0
      ? []
      : [
          ...wrapped(
            'Events that two tables have: one action that two definitions match. Each table makes an event of its own of it, as in Heap:',
            '',
          ),
          ...between_tables.map(({ tables, events }) =>
            countLine(events, tables.map((name) => cutInside(name, 29)).join(' and ')),
          ),
        ]),
  ]
}

function allEventsLines({ all_events_differences }: ExportPlan): string[] {
  if (all_events_differences === null || all_events_differences.length === 0) return []
  const rows = all_events_differences.map((one) => [
    cutInside(one.table, 40),
    grouped(one.in_all_events),
    one.rows === null ? 'no such table' : grouped(one.rows),
  ])
  return [
    ...wrapped(
      'all_events counts other rows than the tables hold: tables that are missing, or were exported at another time:',
      '',
    ),
    ...table(['table', 'in all_events', 'exported'], rows).split('\n'),
  ]
}

// From PostHog's documentation of migrations.
const announcedEvents = 20_000_000

function deliveryLines({ totals, delivery }: ExportPlan): string[] {
  const { events_per_second, requests, seconds } = delivery
  return [
    ...wrapped(
      `Sending ${figure(totals.events)} events takes ${figure(requests)} requests and ${duration(seconds)} at ${grouped(events_per_second)} events per second (--rate).`,
      '',
    ),
    ...(totals.events.count > announcedEvents
      ? wrapped('PostHog asks to be told before more than 20 million events are imported: the text is below.', '')
      : []),
  ]
}

const columnsShown = 8
const columnWidth = 24

function shortTable(one: TablePlan): string[] {
  if (one.event_names.length === 0 && one.rejected.length === 0) return tableHeading(one)
  const own = one.columns.filter(keepsItsName)
  const leftOut = one.columns.filter((column) => column.becomes.length === 0)
  const changed = one.columns.filter((column) => !own.includes(column) && !leftOut.includes(column))
  const more = changed.length - columnsShown
  return [
    ...tableHeading(one),
    ...changed.slice(0, columnsShown).flatMap(columnLines),
    ...(more > 0 ? wrapped(`and ${more} more: --table ${one.table} shows all`, '  … ') : []),
    ...(own.length > 0
      ? clipped(`${counted(own.length, 'property', 'properties')} of the same name: ${namesOf(own)}`, '  ', 2)
      : []),
    ...(leftOut.length > 0 ? clipped(`left out: ${namesOf(leftOut)}`, '  ', 2) : []),
    ...one.samples.flatMap((sample, nth) => [
      `  ${nth + 1}. ${placeText(sample.place, width - 5)}`,
      ...clipped(cellsText(sample), '     ', 2),
      ...becomesLines(sample),
    ]),
  ]
}

function cellsText({ values }: PlannedRow): string {
  const cells = Object.entries(values).map(([column, value]) => `${column} = ${value}`)
  return cells.join(' · ')
}

function becomesLines({ becomes: end }: PlannedRow): string[] {
  switch (end.kind) {
    case 'event': {
      const { event, distinct_id, timestamp, properties } = end.event
      return [
        ...clipped(`→ ${event} of ${distinct_id} at ${timestamp}`, '     ', 1),
        ...clipped(JSON.stringify(properties), '       ', 3),
      ]
    }
    case 'skip':
      return wrapped(skipText[end.reason], '     → nothing: ')
    case 'reject':
      return wrapped(end.detail, '     → rejected: ')
  }
}

function wholeTable(plan: ExportPlan, name: string): string {
  const shown = plan.tables.filter((one) => one.table === name)
  if (shown.length === 0) {
    throw new OperatorError(
      `The export has no table ${name}`,
      `It has ${plan.tables.map((one) => one.table).join(', ')}.`,
    )
  }
  const lines = shown.flatMap((one) => [
    ...tableHeading(one),
    ...one.columns.flatMap(columnLines),
    ...one.samples.flatMap((sample, nth) => [
      '',
      ...wrapped(`${nth + 1}. ${placeText(sample.place, 60)}`, '  '),
      ...Object.entries(sample.values).flatMap(([column, value]) => columnLines({ column, becomes: [value] })),
      ...(sample.becomes.kind === 'event'
        ? JSON.stringify(sample.becomes.event, null, 2)
            .split('\n')
            .map((line) => `  ${line}`)
        : becomesLines(sample)),
    ]),
  ])
  return lines.join('\n')
}

function tableHeading(one: TablePlan): string[] {
  const { time, event_names, rows, events, told_by } = one
  const names =
    event_names.slice(0, 3).join(', ') + (event_names.length > 3 ? ` and ${event_names.length - 3} more` : '')
  const span = time === null ? '' : `, ${time.exact ? '' : 'about '}${dateOf(time.from)} to ${dateOf(time.to)}`
  const made =
    event_names.length > 0
      ? `${figure(events)} events: ${names}`
      : ['nothing', ...one.skipped.map(({ reason }) => skipText[reason])].join(': ')
  const told = told_by.length === 0 ? '' : ` (${told_by.map((by) => toldByTexts[by]).join(', ')})`
  return wrapped(`${one.table}${told}: ${figure(rows)} rows${span} → ${made}`, '')
}

const toldByTexts: Readonly<Record<ToldBy, string>> = {
  folder: 'by folder',
  name: 'by name',
  columns: 'by columns',
  content: 'by content',
  manifest: 'by the manifest',
  mapping: 'by the mapping file',
}

function dateOf(time: string): string {
  return time.slice(0, 10)
}

type Column = TablePlan['columns'][number]

function keepsItsName({ column, becomes: names }: Column): boolean {
  return names.length === 1 && (names[0] === column || names[0] === `$set.${column}`)
}

function namesOf(columns: readonly Column[]): string {
  return columns.map(({ column }) => column).join(', ')
}

function columnLines({ column, becomes: names }: Column): string[] {
  const text = names.length === 0 ? 'left out' : names.join(', ')
  const lead = `  ${cutInside(column, columnWidth).padEnd(columnWidth)}  `
  return wrapped(text, ' '.repeat(lead.length)).map((line, nth) => (nth === 0 ? lead + line.trimStart() : line))
}

/** So many lines of it. */
function clipped(text: string, indent: string, lines: number): string[] {
  // No line of words is filled to its end: more than enough for all of them.
  const all = wrapped(shortened(text, 2 * lines * width), indent)
  if (all.length <= lines) return all
  return [...all.slice(0, lines - 1), `${(all[lines - 1] ?? '').slice(0, width - 2)} …`]
}

/** `_key_events…omplete`: names of events differ at both ends. */
function cutInside(text: string, length: number): string {
  const shown = visible(text)
  if (shown.length <= length) return shown
  const end = Math.floor((length - 1) / 2)
  return `${shown.slice(0, length - 1 - end)}…${shown.slice(-end)}`
}
