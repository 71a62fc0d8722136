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
  type Values,
} from '@heapferry/domain'
import { outgoing } from '../outgoing.ts'
import type { RowPlace } from './export-plan.ts'

/** What rows of one table were found to be. */
export interface RowSurvey {
  tally: Tally
  /** By reason, the first few. */
  places: Map<RejectReason, RowPlace[]>
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

/** How a row ends if PostHog takes every event. */
export type RowEnd = { timeMs: number | undefined; conversion: Conversion }

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
    add(row: ReadRow, fileTable: Table, place: RowPlace): RowEnd {
      tally.read++
      if (row.kind === 'unreadable') {
        const { reason, detail } = row
        return rejected(place, { timeMs: undefined, conversion: { kind: 'reject', reason, detail } })
      }
      const { columns, values } = row
      const reading = readings.get(columns) ?? readingOf(columns, converterFor(fileTable, columns))
      readings.set(columns, reading)
      const { convert, timeAt, eventIdAt, tableNameAt } = reading

      const timeMs = parseHeapTime(values[timeAt] ?? '')
      if (timeMs !== undefined) addTime(timeMs)
      if (onEventId && isOfEvents) {
        const eventId = canonicalId(values[eventIdAt] ?? null)
        // Exporters write 0 for null.
        if (eventId.kind === 'id' && eventId.id !== '0') onEventId(table.name, eventId.id)
      }
      if (table.kind === 'all_events') count(survey.allEvents, (values[tableNameAt] ?? '').trim().toLowerCase())

      const { conversion, jsonBytes } = endOf(convert(values))
      switch (conversion.kind) {
        case 'event': {
          const { event } = conversion
          tally.sent++
          survey.jsonBytes += jsonBytes
          count(survey.eventNames, event.event)
          if (isOfEvents && timeMs !== undefined) count(survey.days, Math.floor(timeMs / dayMs))
          break
        }
        case 'skip':
          tally.skipped[conversion.reason] = (tally.skipped[conversion.reason] ?? 0) + 1
          break
        case 'reject':
          return rejected(place, { timeMs, conversion })
      }
      return { timeMs, conversion }
    },
  }

  function rejected(place: RowPlace, end: RowEnd & { conversion: { kind: 'reject'; reason: RejectReason } }): RowEnd {
    const { reason } = end.conversion
    tally.rejected[reason] = (tally.rejected[reason] ?? 0) + 1
    const places = survey.places.get(reason) ?? []
    if (places.length < placesShown) places.push(place)
    survey.places.set(reason, places)
    return end
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

/** How a row ends that was converted, and how many bytes of JSON are sent of it. */
export function endOf(conversion: Conversion): { conversion: Conversion; jsonBytes: number } {
  if (conversion.kind !== 'event') return { conversion, jsonBytes: 0 }
  const sized = outgoing(conversion.event)
  if (sized.kind === 'outgoing') return { conversion, jsonBytes: sized.json.length }
  const detail = `the event would take ${sized.bytes} bytes of PostHog's 1 MB`
  return { conversion: { kind: 'reject', reason: 'event_too_large', detail }, jsonBytes: 0 }
}

/** The tables that say what people did. */
export const eventTables: ReadonlySet<TableKind> = new Set<TableKind>(['pageviews', 'event', 'raw_events'])

/** Looked up once for all rows that share their columns. */
interface RowReading {
  convert: (values: Values) => Conversion
  timeAt: number
  eventIdAt: number
  tableNameAt: number
}

function readingOf(columns: Columns, convert: (values: Values) => Conversion): RowReading {
  const firstOf = (...names: string[]): number => columns.findIndex((column) => names.includes(column))
  return {
    convert,
    timeAt: firstOf('time', 'joindate'),
    eventIdAt: firstOf('event_id'),
    // Older exports call it event_name.
    tableNameAt: firstOf('event_table_name', 'event_name'),
  }
}

function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
