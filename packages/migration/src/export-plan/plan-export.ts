import { Buffer } from 'node:buffer'
import type { Cast } from '@heapferry/conversion'
import {
  type Conversion,
  type ConverterFor,
  conversionVersion,
  type ExportFile,
  type FileId,
  type Identities,
  type Mapping,
  type OperatorError,
  phaseOf,
  type ReadRow,
  type Run,
  RunId,
  type Slice,
  type Source,
  type Table,
  tellsWhoIsWho,
} from '@heapferry/domain'
import pMap from 'p-map'
import { convertersOf } from '../converters.ts'
import { withGroupFiles } from '../group-files.ts'
import { lookAtTables } from '../look-at-tables.ts'
import { hiddenColumns } from '../hidden-columns.ts'
import { decodeIdentities, encodeIdentities } from '../identities/encoded-identities.ts'
import { resolvePeople as resolve } from '../identities/resolve-people.ts'
import type { FoundTable } from '../mapping-notices.ts'
import { readAhead } from '../read-ahead.ts'
import { compareOutcomes } from './compare-outcomes.ts'
import type { ExportPlan, Figure, PlannedRow, PlannedPlace, TableChanges } from './export-plan.ts'
import { firstMiddleLast } from './first-middle-last.ts'
import { heapNames } from './heap-names.ts'
import { looksRounded } from './looks-rounded.ts'
import { planFirstTouch } from './plan-first-touch.ts'
import { planOf } from './plan-of.ts'
import { repeatedFileNotices } from './repeated-files.ts'
import { RepeatedIds } from './repeated-ids.ts'
import { type TextKinds, textKindsOf } from './text-kinds.ts'
import { becomesOf, type RowSurvey, type SurveyWork, surveyRows } from './survey-rows.ts'

/** What is known of an export before any of its rows was read. */
export interface FoundExport {
  source: string
  files: readonly ExportFile[]
  faults: ExportPlan['faults']
  notices: readonly string[]
  /** Tables of a warehouse that have no files, since nothing of them is unloaded. */
  leftOut?: readonly FoundTable[]
  /** By path: how many rows a warehouse says that it has, where the files hold the first of them only. */
  counted?: ReadonlyMap<string, Figure>
}

export interface ExportPlanWork {
  mapping: Mapping
  /** Another mapping, to be told what it would change. */
  against: Mapping | null
  /** What hashes are keyed with; null where no mapping hashes. */
  hashSalt: string | null
  includeRecent: boolean
  /** Milliseconds since 1970: what rows are young or in the future against. */
  nowMs: number
  /** Reads every row instead of samples. */
  full: boolean
  eventsPerSecond: number
  source: Pick<Source, 'readAll' | 'sample' | 'countRows'>
  /** Looked at between slices. */
  signal: AbortSignal
  onProgress?(progress: PlanProgress): void
}

/** What is being done, and of how many rows it is done. */
export interface PlanProgress {
  doing: 'reading_people' | 'sampling' | 'reading_rows'
  table: string
  rows: number
  /** Null where it is not known. */
  of: number | null
}

/** A table as far as it was looked at. */
export interface SurveyedTable {
  table: Table
  files: readonly ExportFile[]
  columns: readonly string[]
  /** Of the sampled rows, by column. */
  textKinds: ReadonlyMap<string, TextKinds>
  rows: Figure
  /** Of the sampled rows, or of all. */
  survey: RowSurvey
  samples: readonly PlannedRow[]
  /** Where ids look as if a spreadsheet had cut them. */
  roundedFile: string | null
  /** By column: how often a cell could not be cast. */
  uncast: ReadonlyMap<string, { as: Cast; rows: number }>
  changes: TableChanges | null
}

/**
 * Finds out what an export holds and what would become of it, by converting rows as a run does: all of them, or samples.
 * The tables of people are read whole in any case, because nothing less tells who is who. Nothing is sent.
 *
 * @returns null when the signal came
 */
export async function planExport(given: FoundExport, work: ExportPlanWork): Promise<ExportPlan | null> {
  const { mapping, against, hashSalt, nowMs, signal } = work
  const looked = await lookAtTables(given.files, work.source, mapping)
  const found: FoundExport = {
    ...given,
    files: withGroupFiles(looked.files, mapping),
    notices: [...given.notices, ...looked.notices],
  }
  const people = await resolvePeople(found, mapping, work)
  if (signal.aborted) return null
  const uncast = new UncastCells()
  const converterFor = convertersOf(madeUpRun(mapping, work), people.identities, hashSalt, (...cell) =>
    uncast.add(...cell),
  )
  // It counts nothing: rows are converted once more for those who look at them.
  const shownBy = convertersOf(madeUpRun(mapping, work), people.identities, hashSalt)
  const otherPeople =
    against === null || against.identity === mapping.identity ? people : await resolvePeople(found, against, work)
  if (signal.aborted) return null
  const otherConverterFor = against && convertersOf(madeUpRun(against, work), otherPeople.identities, hashSalt)

  const tables: SurveyedTable[] = []
  let repeated = new RepeatedIds()
  const onEventId = (table: string, id: string): void => repeated.add(table, id)
  const surveyWork = { converterFor, nowMs, onEventId }
  for (const files of byTable(found.files)) {
    const sampled = await surveySamples(files, people.rowCounts, { ...surveyWork, shownBy, otherConverterFor }, work)
    tables.push({ ...sampled, uncast: uncast.take() })
    if (signal.aborted) return null
  }
  if (work.full) {
    repeated = new RepeatedIds()
    for (const [index, sampled] of tables.entries()) {
      const survey = await surveyAll(sampled, surveyWork, work)
      if (signal.aborted) return null
      tables[index] = { ...sampled, survey, rows: { count: survey.tally.read, exact: true }, uncast: uncast.take() }
    }
  }
  const { names, notices: ofNames } = await heapNames(found.files, work.source)
  const repeatedFiles = await repeatedFileNotices(work.source, found.files)
  const notices = [...found.notices, ...people.notices, ...ofNames, ...repeatedFiles]
  const run = madeUpRun(mapping, work)
  const firstTouch = await planFirstTouch(run, { files: found.files, tables, identities: people.identities }, work)
  if (signal.aborted) return null
  return planOf({ ...found, notices, faults: [...found.faults, ...people.faults] }, work, {
    tables,
    people: people.summary,
    repeats: repeated.repeats(),
    heapNames: names,
    firstTouch,
  })
}

function madeUpRun(mapping: Mapping, { includeRecent, nowMs }: ExportPlanWork): Run {
  return {
    // It stands in the events that are shown.
    id: RunId.parse('plan'),
    root: '/',
    source: '/',
    destination: { kind: 'posthog', host: 'http://127.0.0.1', keyFingerprint: '0000000000000000' },
    mapping,
    saltFingerprint: null,
    includeRecent,
    conversion: conversionVersion,
    maxRejectedPercent: 100,
    createdAtMs: nowMs,
    chunkBytes: 1,
  }
}

/** Counts cells that could not be cast, of one table after the other. */
class UncastCells {
  #columns = new Map<string, { as: Cast; rows: number }>()

  add(column: string, as: Cast): void {
    const known = this.#columns.get(column)
    if (known) known.rows++
    else this.#columns.set(column, { as, rows: 1 })
  }

  take(): ReadonlyMap<string, { as: Cast; rows: number }> {
    const taken = this.#columns
    this.#columns = new Map()
    return taken
  }
}

async function resolvePeople(
  { files, counted: known }: FoundExport,
  mapping: Mapping,
  { hashSalt, against, source, signal, onProgress }: ExportPlanWork,
) {
  const rowCounts = new Map<FileId, Figure>()
  for (const file of files) {
    const count = known?.get(file.path)
    if (count) rowCounts.set(file.id, count)
  }
  const faults: ExportPlan['faults'] = []
  const onDamage = ({ path }: ExportFile, { message, hint }: OperatorError) =>
    void faults.push({ file: path, problem: message, hint })
  async function* counted(file: ExportFile): AsyncGenerator<Slice> {
    let rows = 0
    for await (const slice of source.readAll(file)) {
      if (signal.aborted) return
      const all = [...slice.rows]
      rows += all.length
      yield { rows: all, next: slice.next }
      onProgress?.({ doing: 'reading_people', table: file.table.name, rows, of: null })
    }
    if (!rowCounts.has(file.id)) rowCounts.set(file.id, { count: rows, exact: true })
  }
  const ofPeople = files.filter(({ table }) => tellsWhoIsWho(table.kind))
  const listNamed = [mapping, against].some((one) => one?.anonymous === 'personless')
  const resolved = await resolve(ofPeople, counted, { mapping, hashSalt, listNamed, onDamage })
  const identities: Identities = decodeIdentities(Buffer.concat(encodeIdentities(resolved)))
  return { identities, summary: resolved.summary, notices: resolved.notices, rowCounts, faults }
}

/** The files of each table, people first, then by name. */
function byTable(files: readonly ExportFile[]): ExportFile[][] {
  const tables = new Map<string, ExportFile[]>()
  for (const file of files) {
    const { kind, name } = file.table
    const key = `${phaseOf(kind) === 'identities' ? 0 : 1} ${name} ${kind}`
    tables.set(key, [...(tables.get(key) ?? []), file])
  }
  return [...tables].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

// Enough to tell a share of one in a hundred, and converted in a blink.
const sampledRows = 1500
// Read and counted in a tenth of a second.
const countedBytes = 32 * 1024 * 1024
// Over a network most of the time is waiting; each takes a megabyte or two.
const countedAtOnce = 16

async function surveySamples(
  files: readonly ExportFile[],
  rowCounts: ReadonlyMap<FileId, Figure>,
  {
    shownBy,
    otherConverterFor,
    ...surveyWork
  }: SurveyWork & { shownBy: ConverterFor; otherConverterFor: ConverterFor | null },
  work: ExportPlanWork,
): Promise<Omit<SurveyedTable, 'uncast'>> {
  const [first] = files
  if (!first) throw new Error('a table without files')
  const { table } = first
  const { add, survey } = surveyRows(table, surveyWork)
  const comparison = compareOutcomes(table.name)
  const columns = new Set<string>()
  const candidates: Candidate[] = []
  const bytesPerRow: number[] = []
  let roundedFile: string | null = null
  let wholeFiles = 0

  const chosen = firstMiddleLast(files)
  for (const file of chosen) {
    work.onProgress?.({ doing: 'sampling', table: table.name, rows: survey.tally.read, of: null })
    const sample = await work.source.sample(file, Math.ceil(sampledRows / chosen.length))
    for (const row of sample.rows) {
      // Where rows were passed over, numbers count from anywhere.
      const place = { file: file.path, row: sample.whole ? row.place.row : null, byte: row.place.byte }
      const { timeMs, end } = add(row, file.table, place)
      if (row.kind !== 'row') continue
      const becomes = () => becomesOf(row, file.table, shownBy, end)
      candidates.push({ row, place, timeMs, isEvent: end.kind === 'event', becomes })
      if (otherConverterFor) comparison.add(place, becomes(), becomesOf(row, file.table, otherConverterFor))
    }
    if (sample.bytesPerRow !== null) bytesPerRow.push(sample.bytesPerRow)
    if (sample.whole) wholeFiles++
    if (looksRounded(sample.rows)) roundedFile ??= file.path
  }
  for (const list of [...files.map((file) => file.columns), ...candidates.map(({ row }) => row.columns)])
    for (const column of list) columns.add(column)

  const rows =
    wholeFiles === files.length
      ? { count: survey.tally.read, exact: true }
      : await rowsOf(files, bytesPerRow, rowCounts, work)
  return {
    table,
    files,
    columns: [...columns],
    textKinds: textKindsOf(candidates.map(({ row }) => row)),
    rows,
    survey,
    samples: spreadOverTime(candidates, hiddenColumns(table, work.mapping)),
    roundedFile,
    changes: otherConverterFor && comparison.changes(),
  }
}

async function rowsOf(
  files: readonly ExportFile[],
  bytesPerRow: readonly number[],
  rowCounts: ReadonlyMap<FileId, Figure>,
  { source }: ExportPlanWork,
): Promise<Figure> {
  const mean = bytesPerRow.reduce((sum, bytes) => sum + bytes, 0) / bytesPerRow.length
  let bytesLeft = countedBytes
  const limited = files.map((file) => {
    // Where no sample tells how large a row is, only counting helps.
    const maxBytes = bytesPerRow.length === 0 ? Number.POSITIVE_INFINITY : bytesLeft
    bytesLeft = Math.max(0, bytesLeft - file.version.sizeBytes)
    return { file, maxBytes }
  })
  const counts = await pMap(
    limited,
    async ({ file, maxBytes }): Promise<Figure> => {
      const known = rowCounts.get(file.id)
      if (known) return known
      const count = await source.countRows(file, maxBytes)
      return { count: count ?? (file.version.sizeBytes - file.firstRowByte) / mean, exact: count !== null }
    },
    { concurrency: countedAtOnce },
  )
  return {
    count: Math.round(counts.reduce((sum, { count }) => sum + count, 0)),
    exact: counts.every(({ exact }) => exact),
  }
}

interface Candidate {
  row: ReadRow & { kind: 'row' }
  place: PlannedPlace
  timeMs: number | undefined
  isEvent: boolean
  /** Three rows of a table are shown. */
  becomes: () => Conversion
}

const samplesShown = 3

/** The first, the middle and the last of the rows that become events; of the others where none does. */
function spreadOverTime(candidates: readonly Candidate[], hidden: ReadonlyMap<string, string>): PlannedRow[] {
  const events = candidates.filter(({ isEvent }) => isEvent)
  const sorted = (events.length > 0 ? events : candidates).toSorted((a, b) => (a.timeMs ?? 0) - (b.timeMs ?? 0))
  const indexes = Array.from({ length: samplesShown }, (_, nth) =>
    Math.round((nth * (sorted.length - 1)) / (samplesShown - 1)),
  )
  return sorted.filter((_, index) => indexes.includes(index)).map((candidate) => plannedRow(candidate, hidden))
}

function plannedRow(
  { row: { columns, values }, place, becomes }: Candidate,
  hidden: ReadonlyMap<string, string>,
): PlannedRow {
  const cells = columns.flatMap((column, index): [string, string][] => {
    const value = values[index] ?? null
    return value === null ? [] : [[column, hidden.get(column) ?? value]]
  })
  return { place, values: Object.fromEntries(cells), becomes: becomes() }
}

async function surveyAll(
  { table, files, rows }: SurveyedTable,
  surveyWork: SurveyWork,
  { source, signal, onProgress }: ExportPlanWork,
): Promise<RowSurvey> {
  const { add, survey } = surveyRows(table, surveyWork)
  for await (const { file, slices } of readAhead(files, source.readAll)) {
    for await (const slice of slices) {
      if (signal.aborted) return survey
      for (const row of slice.rows) add(row, file.table, { file: file.path, ...row.place })
      onProgress?.({ doing: 'reading_rows', table: table.name, rows: survey.tally.read, of: rows.count })
    }
  }
  return survey
}
