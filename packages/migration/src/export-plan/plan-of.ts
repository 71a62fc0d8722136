import { columnMeanings, userTimeColumns } from '@heapferry/conversion'
import { countOf, enrichesFrom, largestRequest, type Mapping, RejectReason, SkipReason } from '@heapferry/domain'
import { changeText, mappingChanges, mappingFingerprint } from '../mapping-changes.ts'
import { mappingNotices } from '../mapping-notices.ts'
import { grouped } from '../wording.ts'
import type { IdentitySummary } from '../identities/resolve-identities.ts'
import type {
  ExportPlan,
  Figure,
  PlanWarning,
  Rejected,
  RepeatedEvents,
  Skipped,
  TablePlan,
  TimeSpan,
} from './export-plan.ts'
import type { ExportPlanWork, FoundExport, SurveyedTable } from './plan-export.ts'
import type { Repeats } from './repeated-ids.ts'
import { eventTables } from './survey-rows.ts'

/** The plan that follows from what was seen of each table. */
export function planOf(
  found: FoundExport,
  work: ExportPlanWork,
  seen: {
    tables: readonly SurveyedTable[]
    people: IdentitySummary
    repeats: Repeats
    heapNames: ReadonlyMap<string, string>
    firstTouch: ExportPlan['first_touch']
  },
): ExportPlan {
  const { nowMs, eventsPerSecond } = work
  const { tables: surveyed, people } = seen
  const full = surveyed.length > 0 && surveyed.every(sawAll)
  const tables = surveyed.map((table) => tablePlan(table, seen.heapNames.get(table.table.name), work))
  const known = [...surveyed, ...(found.leftOut ?? [])]
  const files = new Map(found.files.map(({ path, version }) => [path, version.sizeBytes]))
  const events = sumOf(tables.map((table) => table.events))
  return {
    source: found.source,
    planned_at: new Date(nowMs).toISOString(),
    full,
    mapping_fingerprint: mappingFingerprint(work.mapping),
    can_migrate: found.faults.length === 0,
    faults: found.faults,
    notices: [
      ...found.notices,
      ...heapNameNotices(seen.heapNames, work.mapping),
      ...mappingNotices(work.mapping, known),
      ...(work.against === null ? [] : mappingNotices(work.against, known, 'The other mapping')),
    ],
    warnings: warningsOf(surveyed, tables),
    tables,
    totals: {
      files: files.size,
      bytes: [...files.values()].reduce((sum, bytes) => sum + bytes, 0),
      rows: sumOf(tables.map((table) => table.rows)),
      time: spanOf(tables.flatMap((table) => table.time ?? [])),
      events,
      skipped: SkipReason.options.flatMap((reason): Skipped[] => {
        const rows = tables.flatMap(({ skipped }) => skipped.filter((one) => one.reason === reason))
        return rows.length === 0 ? [] : [{ reason, rows: sumOf(rows.map((one) => one.rows)) }]
      }),
      rejected: RejectReason.options.flatMap((reason): Rejected[] => {
        const rows = tables.flatMap(({ rejected }) => rejected.filter((one) => one.reason === reason))
        const places = rows.flatMap((one) => one.places).slice(0, placesShown)
        return rows.length === 0 ? [] : [{ reason, rows: sumOf(rows.map((one) => one.rows)), places }]
      }),
    },
    people: {
      people: people.people,
      ids: people.ids,
      migrations: people.migrations,
      largest_person_ids: people.largestComponent,
      conflicts: people.conflicts.total,
      first_conflicts: people.conflicts.first.map(({ ids, identities, some }) => ({
        ids,
        identities,
        some: [...some],
      })),
    },
    session_index: sessionIndex(surveyed, work.mapping),
    first_touch: seen.firstTouch,
    events_per_day: full ? eventsPerDay(surveyed) : null,
    repeated_events: full ? repeatedEvents(seen.repeats) : null,
    all_events_differences: full ? allEventsDifferences(surveyed) : null,
    against: work.against && comparison(work.mapping, work.against, surveyed),
    delivery: {
      requests: requestsOf(surveyed, tables, largestRequest(eventsPerSecond)),
      bytes: sumOf(surveyed.map((table) => scaled(table, table.survey.jsonBytes))),
      events_per_second: eventsPerSecond,
      seconds: Math.ceil(events.count / eventsPerSecond),
    },
  }
}

// Measured: packed as in the index, and as they lie in scratch.
const indexBytes = { session: 60, pageview: 45 }
const scratchBytes = { session: 250, pageview: 130 }

function sessionIndex(surveyed: readonly SurveyedTable[], mapping: Mapping): ExportPlan['session_index'] {
  const rowsOf = (kind: 'sessions' | 'pageviews'): Figure =>
    sumOf(surveyed.filter(({ table }) => table.kind === kind).map(({ rows }) => rows))
  const ofPages = enrichesFrom(mapping, 'pages')
  const sessions = enrichesFrom(mapping, 'sessions') || ofPages ? rowsOf('sessions') : { count: 0, exact: true }
  const pageviews = ofPages ? rowsOf('pageviews') : { count: 0, exact: true }
  if (sessions.count + pageviews.count === 0) return null
  const bytesOf = (each: typeof indexBytes): number => sessions.count * each.session + pageviews.count * each.pageview
  return { sessions, pageviews, bytes: bytesOf(indexBytes), scratch_bytes: bytesOf(scratchBytes) }
}

const placesShown = 3

function comparison(mapping: Mapping, against: Mapping, surveyed: readonly SurveyedTable[]): ExportPlan['against'] {
  const differences = mappingChanges(mapping, against)
  return {
    mapping_fingerprint: mappingFingerprint(against),
    differences: differences.map(changeText),
    not_compared: differences.filter(({ effect }) => effect === 'reading').map(changeText),
    tables: surveyed.flatMap(({ changes }) => changes ?? []),
  }
}

/** Not for tables of which the mapping says what they are called. */
function heapNameNotices(names: ReadonlyMap<string, string>, { tables }: Mapping): string[] {
  const unnamed = [...names.keys()].filter((table) => tables[table]?.event === undefined).length
  if (unnamed === 0) return []
  const whose = unnamed === 1 ? 'of one event table' : `of ${grouped(unnamed)} event tables`
  return [
    `The export has Heap's own names ${whose} (_event_metadata). mapping init writes them beside the names of the tables, for you to choose: PostHog tells events apart by their names, so none is taken unasked`,
  ]
}

function tablePlan(surveyed: SurveyedTable, heapName: string | undefined, { mapping }: ExportPlanWork): TablePlan {
  const { table, files, columns, textKinds, rows, survey, samples } = surveyed
  const { tally, places, firstMs, lastMs, eventNames } = survey
  return {
    table: table.name,
    kind: table.kind,
    told_by: [...new Set(files.flatMap(({ toldBy }) => toldBy ?? []))],
    files: files.length,
    bytes: files.reduce((sum, { version }) => sum + version.sizeBytes, 0),
    rows,
    time:
      firstMs > lastMs
        ? null
        : { from: new Date(firstMs).toISOString(), to: new Date(lastMs).toISOString(), exact: sawAll(surveyed) },
    events: scaled(surveyed, tally.sent),
    event_names: [...eventNames].toSorted(([, a], [, b]) => b - a).map(([name]) => name),
    ...(table.kind === 'event' && heapName !== undefined && { heap_name: heapName }),
    skipped: SkipReason.options.flatMap((reason) => {
      const count = tally.skipped[reason]
      return count === undefined ? [] : [{ reason, rows: scaled(surveyed, count) }]
    }),
    rejected: RejectReason.options.flatMap((reason) => {
      const count = tally.rejected[reason]
      return count === undefined ? [] : [{ reason, rows: scaled(surveyed, count), places: places.get(reason) ?? [] }]
    }),
    columns: columnMeanings(table, columns, mapping).map(({ column, becomes }) => {
      // A rule would take any other meaning from a column, and people's times are read as such anyway.
      const isOwn =
        becomes.length > 0 &&
        becomes.every((property) => [column, `$set.${column}`].includes(property)) &&
        !userTimeColumns.some((time) => time === column)
      const hasRule = column in { ...mapping.properties, ...mapping.tables[table.name]?.properties }
      const text = isOwn && !hasRule ? textKinds.get(column) : undefined
      return { column, becomes: [...becomes], ...(text && { text }) }
    }),
    samples: [...samples],
  }
}

function sawAll({ rows, survey }: SurveyedTable): boolean {
  return rows.exact && rows.count === survey.tally.read
}

/** What was counted among the rows that were seen, for all rows of the table. */
function scaled(surveyed: SurveyedTable, count: number): Figure {
  const { rows, survey } = surveyed
  if (sawAll(surveyed)) return { count, exact: true }
  return { count: survey.tally.read === 0 ? 0 : Math.round((count / survey.tally.read) * rows.count), exact: false }
}

function sumOf(figures: readonly Figure[]): Figure {
  return {
    count: figures.reduce((sum, { count }) => sum + count, 0),
    exact: figures.every(({ exact }) => exact),
  }
}

function spanOf(spans: readonly TimeSpan[]): TimeSpan | null {
  const from = spans.map((span) => span.from).toSorted()[0]
  const to = spans
    .map((span) => span.to)
    .toSorted()
    .at(-1)
  if (from === undefined || to === undefined) return null
  return { from, to, exact: spans.every(({ exact }) => exact) }
}

// Whatever real exports suffer from stays below one row in a hundred.
const manyRejectedShare = 0.05

function warningsOf(surveyed: readonly SurveyedTable[], tables: readonly TablePlan[]): PlanWarning[] {
  const warnings: PlanWarning[] = []
  for (const { table, roundedFile } of surveyed)
    if (roundedFile !== null) warnings.push({ kind: 'rounded_ids', table: table.name, file: roundedFile })
  for (const one of surveyed) {
    const { before2010, inFuture } = one.survey
    if (!eventTables.has(one.table.kind) || before2010 + inFuture === 0) continue
    const [before_2010, in_future] = [scaled(one, before2010), scaled(one, inFuture)]
    warnings.push({ kind: 'wrong_clocks', table: one.table.name, before_2010, in_future })
  }
  for (const one of surveyed) {
    const rejected = countOf(one.survey.tally.rejected)
    if (rejected <= one.survey.tally.read * manyRejectedShare) continue
    warnings.push({ kind: 'many_rejected', table: one.table.name, rows: one.rows, rejected: scaled(one, rejected) })
  }
  for (const one of surveyed)
    for (const [column, { as, rows }] of one.uncast)
      warnings.push({ kind: 'not_cast', table: one.table.name, column, as, rows: scaled(one, rows) })
  if (!tables.some(({ kind }) => kind === 'users' || kind === 'identify')) warnings.push({ kind: 'no_people' })
  return warnings
}

const dayMs = 86_400_000

function eventsPerDay(surveyed: readonly SurveyedTable[]): Record<string, number> {
  const days = new Map<number, number>()
  for (const { survey } of surveyed) for (const [day, count] of survey.days) days.set(day, (days.get(day) ?? 0) + count)
  const sorted = [...days].toSorted(([a], [b]) => a - b)
  return Object.fromEntries(sorted.map(([day, count]) => [new Date(day * dayMs).toISOString().slice(0, 10), count]))
}

const pairsShown = 10

function repeatedEvents({ within, between, share }: Repeats): RepeatedEvents {
  const figure = (count: number): Figure => ({ count: Math.round(count / share), exact: share === 1 })
  return {
    within_tables: [...within].map(([table, rows]) => ({ table, rows: figure(rows) })),
    between_tables: between
      .slice(0, pairsShown)
      .map(({ tables: [a, b], ids }) => ({ tables: [a, b], events: figure(ids) })),
  }
}

/** Heap counts in all_events what its event tables hold; a difference is a table that was exported at another time. */
function allEventsDifferences(surveyed: readonly SurveyedTable[]): ExportPlan['all_events_differences'] {
  const counts = new Map<string, number>()
  const ofAllEvents = surveyed.filter(({ table }) => table.kind === 'all_events')
  if (ofAllEvents.length === 0) return null
  for (const { survey } of ofAllEvents)
    for (const [table, rows] of survey.allEvents) counts.set(table, (counts.get(table) ?? 0) + rows)
  const rows = new Map(surveyed.map(({ table, survey }) => [table.name, survey.tally.read]))
  const eventNames = surveyed.filter(({ table }) => table.kind === 'event').map(({ table }) => table.name)
  return [...new Set([...counts.keys(), ...eventNames])]
    .map((table) => ({ table, in_all_events: counts.get(table) ?? 0, rows: rows.get(table) ?? null }))
    .filter(({ in_all_events, rows: found }) => found !== in_all_events)
}

// As the sink sends them.
const requestBytes = 4_000_000

function requestsOf(surveyed: readonly SurveyedTable[], tables: readonly TablePlan[], requestEvents: number): Figure {
  const figures = surveyed.map((table, index): Figure => {
    const events = tables[index]?.events ?? { count: 0, exact: true }
    const bytes = scaled(table, table.survey.jsonBytes)
    // A request may be sent half full where a chunk ends, and smaller where rows are large.
    return { count: Math.ceil(Math.max(events.count / requestEvents, bytes.count / requestBytes)), exact: false }
  })
  return sumOf(figures)
}
