import { canonicalId, earliestMs, isInRange, parseHeapTime } from '@heapferry/conversion'
import {
  type Columns,
  type Conversion,
  type ConverterFor,
  emptyTally,
  type ReadRow,
  type RejectReason,
  type Table,
  type TableKind,
  type Tally,
} from '@heapferry/domain'
import { conversionOf, countEnd, endOfRow, type RowEnd } from '../end-of-row.ts'
import type { PlannedPlace } from './export-plan.ts'

/** What rows of one table were found to be. */
export interface RowSurvey {
  tally: Tally
  /** By reason, the first few. */
  places: Map<RejectReason, PlannedPlace[]>
  /** Of times that can be one. */
  firstMs: number
  lastMs: number
  before2010: number
  inFuture: number
  /** By name: how many rows become such an event. */
  eventNames: Map<string, number>
  /** Of the events as they would be sent, before packing. */
  jsonBytes: number
  /** By days since 1970, of the tables that say what people did. */
  days: Map<number, number>
  /** Of `all_events`, by lower-case name of a table: its rows there. */
  allEvents: Map<string, number>
}

/** What a row was found to be. */
interface SurveyedRow {
  timeMs: number | undefined
  end: RowEnd
}

export interface SurveyWork {
  converterFor: ConverterFor
  nowMs: number
  /** Told the canonical id of every row of events that has one. */
  onEventId?(table: string, id: string): void
}

const placesShown = 3
const dayMs = 86_400_000

/** Takes the rows of a table one by one, converting each as a run does. */
export function surveyRows(table: Table, work: SurveyWork) {
  const { converterFor, nowMs, onEventId } = work
  const tally: Tally = structuredClone(emptyTally)
  const survey: RowSurvey = {
    tally,
    places: new Map(),
    firstMs: Number.POSITIVE_INFINITY,
    lastMs: Number.NEGATIVE_INFINITY,
    before2010: 0,
    inFuture: 0,
    eventNames: new Map(),
    jsonBytes: 0,
    days: new Map(),
    allEvents: new Map(),
  }
  const isOfEvents = eventTables.has(table.kind)
  const readings = new WeakMap<Columns, RowReading>()

  return {
    survey,
    /** @param fileTable what the row's file says of the table: files of one table come from several dumps */
    add(row: ReadRow, fileTable: Table, place: PlannedPlace): SurveyedRow {
      const end = endOfRow(row, fileTable, converterFor)
      const timeMs = row.kind === 'row' ? timeIn(row) : undefined
      countEnd(tally, end)
      if (end.kind === 'event') {
        survey.jsonBytes += end.json.length
        count(survey.eventNames, end.event)
        if (isOfEvents && timeMs !== undefined) count(survey.days, Math.floor(timeMs / dayMs))
      }
      if (end.kind === 'reject') addPlace(end.reason, place)
      return { timeMs, end }
    },
  }

  /** Looks at what a plan tells of all rows, whatever becomes of them. @returns the row's time, if it has one */
  function timeIn({ columns, values }: Extract<ReadRow, { kind: 'row' }>): number | undefined {
    const reading = readings.get(columns) ?? readingOf(columns)
    readings.set(columns, reading)
    const { timeAt, eventIdAt, tableNameAt } = reading

    const timeMs = parseHeapTime(values[timeAt] ?? '')
    if (timeMs !== undefined) addTime(timeMs)
    if (onEventId && isOfEvents) {
      const eventId = canonicalId(values[eventIdAt] ?? null)
      // Exporters write 0 for null.
      if (eventId.kind === 'id' && eventId.id !== '0') onEventId(table.name, eventId.id)
    }
    if (table.kind === 'all_events') count(survey.allEvents, (values[tableNameAt] ?? '').trim().toLowerCase())
    return timeMs
  }

  function addPlace(reason: RejectReason, place: PlannedPlace): void {
    const places = survey.places.get(reason) ?? []
    if (places.length < placesShown) places.push(place)
    survey.places.set(reason, places)
  }

  function addTime(timeMs: number): void {
    if (isInRange(timeMs, nowMs)) {
      survey.firstMs = Math.min(survey.firstMs, timeMs)
      survey.lastMs = Math.max(survey.lastMs, timeMs)
    } else if (timeMs < earliestMs) {
      survey.before2010++
    } else {
      survey.inFuture++
    }
  }
}

/** What a row becomes, of an event also its properties: looked for where somebody is shown them. */
export function becomesOf(
  row: ReadRow,
  table: Table,
  converterFor: ConverterFor,
  end = endOfRow(row, table, converterFor),
): Conversion {
  return end.kind === 'event' ? conversionOf(row, table, converterFor) : end
}

/** The tables that say what people did. */
export const eventTables: ReadonlySet<TableKind> = new Set<TableKind>(['pageviews', 'event', 'raw_events'])

/** Looked up once for all rows that share their columns. */
interface RowReading {
  timeAt: number
  eventIdAt: number
  tableNameAt: number
}

function readingOf(columns: Columns): RowReading {
  const firstOf = (...names: string[]): number => columns.findIndex((column) => names.includes(column))
  return {
    timeAt: firstOf('time', 'joindate'),
    eventIdAt: firstOf('event_id'),
    // Older exports call it event_name.
    tableNameAt: firstOf('event_table_name', 'event_name'),
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
