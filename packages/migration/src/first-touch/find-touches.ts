import {
  compileConverter,
  compileSightings,
  type ConversionContext,
  firstTouchOf,
  isPlaceName,
  toldNames,
} from '@heapferry/conversion'
import type { ExportFile, Mapping, ReadRow, Slice, Values } from '@heapferry/domain'
import { byColumns } from '../identities/by-columns.ts'
import type { People } from '../identities/people.ts'
import { readAhead } from '../read-ahead.ts'
import { Places } from './places.ts'
import { SaidOfPeople } from './said-of-people.ts'
import { asEvents, heapPlaceColumns, touchFiles } from './touch-files.ts'
import { everybody, rowKey, Touches } from './touches.ts'

export interface TouchSource {
  /** The rows of a whole file, the same whenever it is read. */
  read(file: ExportFile): AsyncIterable<Slice>
  people: People
  /** As rows of events are converted. */
  context: ConversionContext
  /** As rows of people are; asked for only where they are read. */
  contextOfPeople(): Promise<ConversionContext>
  /** How many people there is memory for. */
  peopleAtOnce?: number
  /** Looked at between slices. */
  signal: AbortSignal
}

/** What is the first of one person. */
export interface FirstTouch {
  /** An id that stands for the person. */
  person: string
  distinctId: string
  /** When their first row was, in milliseconds since 1970. */
  timeMs: number
  setOnce: Record<string, unknown>
  set: Record<string, unknown>
}

/**
 * The first row of every person, and what PostHog would have lifted from it; the place of the last row that has one is the
 * current one. What rows of `users` say under such a name is left to them, so that it does not matter what arrives first.
 *
 * Reads rows of users where they say such things, and the files that tell twice: what was first, and then those rows; all of
 * it once more for every part of the people for whom there is no memory at once. Ends early when the signal comes. The same
 * files give the same answer, in whatever order they and their rows come.
 */
export async function* findTouches(files: readonly ExportFile[], source: TouchSource): AsyncGenerator<FirstTouch> {
  const telling = touchFiles(files, source.context.mapping).files
  if (telling.length === 0) return
  const parts = [everybody]
  for (let part = parts.pop(); part; part = parts.pop()) {
    const touches = new Touches(part, source.peopleAtOnce)
    yield* touchesOf(touches, { files, telling }, source)
    parts.push(...touches.rest)
  }
}

async function* touchesOf(
  touches: Touches,
  { files, telling }: { files: readonly ExportFile[]; telling: readonly ExportFile[] },
  source: TouchSource,
): AsyncGenerator<FirstTouch> {
  const { read, people, context, signal } = source
  const { mapping } = context
  const places = new Places()
  const said = new SaidOfPeople()
  await said.read(files, touches, source)

  const isPersonless = mapping.anonymous === 'personless'
  const compile = fileCompiler(context, places)

  function* sightingsIn(rows: Iterable<ReadRow>, { table }: ExportFile, compiled: CompiledFile) {
    for (const row of rows) {
      if (row.kind !== 'row') continue
      const ofColumns = compiled.of(row.columns)
      const seen = ofColumns.sightings.see(row.values, row.types)
      if (seen === null || (isPersonless && !people.isKnown(seen.userId))) continue
      const person = people.personOf(seen.userId)
      const number = touches.numberOf(person)
      if (number === -1) continue
      const key = (): number => rowKey(table.name, ofColumns.sightings.content(row.values))
      yield { row, timeMs: seen.timeMs, person, number, key, ofColumns }
    }
  }

  for await (const { file, slices } of readAhead(telling, read)) {
    const compiled = compile(file)
    for await (const { rows } of slices) {
      if (signal.aborted) return
      for (const { row, timeMs, number, key, ofColumns } of sightingsIn(rows, file, compiled)) {
        touches.see(number, timeMs, key)
        const place = ofColumns.placeOf(row)
        if (place !== -1) touches.seePlace(number, timeMs, place, places.isFirst)
      }
    }
  }
  for await (const { file, slices } of readAhead(telling, read)) {
    const compiled = compile(file)
    for await (const { rows } of slices) {
      if (signal.aborted) return
      for (const { row, timeMs, person, number, key, ofColumns } of sightingsIn(rows, file, compiled)) {
        if (!touches.takeFirst(number, timeMs, key)) continue
        const sets = setsOf(ofColumns.propertiesOf(row), {
          told: compiled.told,
          lasting: places.propertiesOf(touches.placeOf(number)),
          said: said.namesOf(touches.saidOf(number)),
          mapping,
        })
        if (sets !== null) yield { person, distinctId: people.distinctIdOf(person), timeMs, ...sets }
      }
    }
  }
}

type CompiledFile = ReturnType<ReturnType<typeof fileCompiler>>

type Row = ReadRow & { kind: 'row' }

function fileCompiler(context: ConversionContext, places: Places) {
  const told = new Map<string, string[]>()
  const placeColumns = placeColumnsIn(context.mapping)

  return (file: ExportFile) => {
    const { table, mapping } = asEvents(file.table, context.mapping)
    const asEvent = { ...context, mapping, includeRecent: true }
    const layout = JSON.stringify([table.kind, table.name, file.columns])
    const ofLayout = told.get(layout) ?? toldNames(table, file.columns, asEvent)
    told.set(layout, ofLayout)
    // Of each type of events the mapping may say something else of a column.
    const ofType = table.kind === 'raw_events' ? ['type', 'object'] : []
    const wanted = new Set([...placeColumns, ...ofType])
    const of = byColumns((columns) => {
      const convert = compileConverter(table, columns, asEvent)
      const propertiesOf = ({ values, types }: Row): Record<string, unknown> => {
        const conversion = convert(values, types)
        return conversion.kind === 'event' ? conversion.event.properties : {}
      }
      const cells = columns.flatMap((column, index) => (wanted.has(column) ? index : []))
      const numbers = new Map<string, number>()
      return {
        sightings: compileSightings(table, columns, asEvent),
        propertiesOf,
        placeOf(row: Row): number {
          const cell = textOf(cells, row.values)
          if (cell === '') return -1
          const number = numbers.get(cell) ?? places.numberOf(placesIn(propertiesOf(row)))
          numbers.set(cell, number)
          return number
        },
      }
    })
    return { told: ofLayout, of }
  }
}

/** Heap's own, and those that the mapping calls so. */
function placeColumnsIn({ properties, tables }: Mapping): string[] {
  const rules = [properties, ...Object.values(tables).map((table) => table.properties ?? {})].flatMap(Object.entries)
  const named = rules.filter(([, rule]) => typeof rule === 'object' && isPlaceName(rule.name ?? ''))
  return [...heapPlaceColumns, ...named.map(([column]) => column)]
}

/** '' where all are empty. */
function textOf(cells: readonly number[], values: Values): string {
  let text = ''
  for (const index of cells) {
    const value = values[index] ?? null
    if (value !== null && value !== '') text += `${index}:${value.length}:${value}`
  }
  return text
}

function placesIn(properties: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => isPlaceName(name)))
}

interface Known {
  /** Names that the row's table says something of. */
  told: readonly string[]
  /** The place where the person was last. */
  lasting: Record<string, unknown>
  /** Names that rows of `users` say something of, of this person. */
  said: ReadonlySet<string>
  mapping: Mapping
}

/** Of what was not there at first nothing that comes later is the first: it is null, as posthog-js has it. */
function setsOf(
  properties: Record<string, unknown>,
  { told, lasting, said, mapping }: Known,
): Pick<FirstTouch, 'setOnce' | 'set'> | null {
  const { first, places } = firstTouchOf(properties)
  const setOnce: Record<string, unknown> = {}
  for (const name of new Set([...told, ...Object.keys(first)]))
    if (!said.has(name)) setOnce[name] = isPartOfSaid(name, said) ? null : (first[name] ?? null)
  // Half of one place and half of another is neither.
  if (!someOf(said, '$initial_geoip_')) Object.assign(setOnce, places)
  const set = someOf(said, '$geoip_') ? {} : lasting
  if (Object.keys(setOnce).length === 0 && Object.keys(set).length === 0) return null
  return mapping.persons === 'set' ? { setOnce, set } : { setOnce: { ...setOnce, ...set }, set: {} }
}

/** What only says more of what another property says. */
const partOf: Readonly<Record<string, string>> = {
  $initial_os_version: '$initial_os',
  $initial_browser_version: '$initial_browser',
  $initial_referring_domain: '$initial_referrer',
}

function isPartOfSaid(name: string, said: ReadonlySet<string>): boolean {
  const whole = partOf[name]
  return whole !== undefined && said.has(whole)
}

function someOf(names: ReadonlySet<string>, start: string): boolean {
  for (const name of names) if (name.startsWith(start)) return true
  return false
}
