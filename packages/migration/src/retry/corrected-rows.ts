import {
  type Columns,
  type ExportFile,
  OperatorError,
  type Phase,
  phaseOf,
  type ReadRow,
  type Source,
  type Types,
  type Values,
} from '@heapferry/domain'
import { looksRounded } from '../export-plan/looks-rounded.ts'
import { withFormula } from './formulas.ts'
import { hasOwnColumns, leadingColumns } from './export-rejected.ts'
import type { RereadRow } from './reread-rows.ts'
import type { RowPlace, RowPlaces } from './row-places.ts'

/** A file of exported rows that a person has edited. */
export interface CorrectedFile {
  path: string
  /** Behind the leading ones. */
  columns: readonly string[]
  rows(): AsyncIterable<{ line: number; row: ReadRow }>
}

export interface CorrectedWork {
  /** Of the run. */
  files: readonly ExportFile[]
  /** Rows that are rejected now. */
  rejected: RowPlaces
  /** Rows that were, until a retry settled them; their bytes are not known. */
  retried: RowPlaces
  source: Pick<Source, 'rowOfText'>
}

/** The same file with the cells that its rows have in the export, where it was written with others for spreadsheets. */
export function asExported(file: CorrectedFile): CorrectedFile {
  return {
    path: file.path,
    columns: file.columns.map(withFormula),
    async *rows() {
      for await (const { line, row } of file.rows()) {
        if (row.kind !== 'row') yield { line, row }
        else
          yield { line, row: { ...row, values: row.values.map((cell) => (cell === null ? null : withFormula(cell))) } }
      }
    },
  }
}

/** What the lines of a file come to. */
export interface CorrectedSummary {
  rows: number
  /** Sent or skipped by an earlier retry; that it is given again is no fault: it was cut off. */
  retriedBefore: number
  /** Neither a cell nor a text was filled in where no row could be read. */
  unmended: number
}

const shownFaults = 10
const rowsForRounding = 2000

/**
 * Looks at every line before anything is sent.
 * @throws OperatorError that names the lines which are no rejected rows of the run
 */
export async function checkCorrected(file: CorrectedFile, work: CorrectedWork): Promise<CorrectedSummary> {
  const faults: string[] = []
  const summary = { rows: 0, retriedBefore: 0, unmended: 0 }
  const lines = new Map<ExportFile, Map<number, number>>()
  const first: ReadRow[] = []
  for await (const { line, row } of file.rows()) {
    if (faults.length >= shownFaults) break
    const found = lineOf(row, work)
    if (found.kind === 'fault') {
      faults.push(`line ${line}: ${found.detail}`)
      continue
    }
    const ofFile = lines.get(found.file) ?? new Map<number, number>()
    if (ofFile.size === 0) faults.push(...columnFaults(file, found.file, work))
    lines.set(found.file, ofFile)
    const before = ofFile.get(found.row)
    if (before !== undefined)
      faults.push(`line ${line}: row ${found.row} of ${found.file.path} stands in line ${before} already`)
    ofFile.set(found.row, line)
    if (found.kind === 'retried') summary.retriedBefore++
    else if (isUnmended(found)) summary.unmended++
    else summary.rows++
    if (first.length < rowsForRounding) first.push(row)
  }
  if (faults.length > 0) throw faulty(file, faults)
  if (looksRounded(first)) {
    throw new OperatorError(
      `Most ids in ${file.path} end in 0: a spreadsheet has cut them to 15 digits`,
      'Edit the file as it was written with a text editor or a script; sent like this, rows would belong to other people.',
    )
  }
  return summary
}

/** The rows of files that have been looked at, of one phase. */
export function correctedRows(
  corrected: readonly CorrectedFile[],
  work: CorrectedWork,
): (phase: Phase) => AsyncGenerator<RereadRow> {
  return async function* (phase) {
    for (const given of corrected) {
      const shapes = new Shapes(given.columns)
      for await (const { row } of given.rows()) {
        const found = lineOf(row, work)
        if (found.kind !== 'rejected' || isUnmended(found) || phaseOf(found.file.table.kind) !== phase) continue
        const { file, place, raw, values } = found
        const isText = raw !== null && values.every((value) => value === null)
        const mended = isText ? await work.source.rowOfText(file, raw, place) : shapes.rowOf(file, place, values)
        yield { file, place, row: mended, text: raw }
      }
    }
  }
}

type ClaimedRow =
  | { kind: 'fault'; detail: string }
  | { kind: 'retried'; file: ExportFile; row: number }
  | { kind: 'rejected'; file: ExportFile; row: number; place: RowPlace; raw: string | null; values: Values }

function lineOf(read: ReadRow, { files, rejected, retried }: CorrectedWork): ClaimedRow {
  if (read.kind === 'unreadable') return fault(read.detail)
  const [, , table, path, rowText, , raw = null] = read.values
  const file = files.find((one) => one.path === path && one.table.name === table)
  if (!file) return fault(`the run has no file ${path ?? ''} of the table ${table ?? ''}`)
  const row = /^[1-9]\d{0,14}$/.test(rowText ?? '') ? Number(rowText) : undefined
  if (row === undefined) return fault(`"${rowText ?? ''}" is not the number of a row`)
  const place = rejected.find(file.id, row)
  if (place) return { kind: 'rejected', file, row, place, raw, values: read.values.slice(leadingColumns.length) }
  if (retried.find(file.id, row)) return { kind: 'retried', file, row }
  return fault(`row ${row} of ${file.path} is not a rejected row of this run`)
}

function fault(detail: string): ClaimedRow {
  return { kind: 'fault', detail }
}

function isUnmended(line: Extract<ClaimedRow, { kind: 'rejected' }>): boolean {
  return line.raw === null && line.values.every((value) => value === null)
}

/** A column that is missing would be empty in all rows, and one that was added a property of theirs. */
function columnFaults({ columns }: CorrectedFile, file: ExportFile, { files }: CorrectedWork): string[] {
  const ofTable = files.filter(({ table }) => table.name === file.table.name)
  const known = ofTable.some(hasOwnColumns) ? null : new Set(ofTable.flatMap((one) => one.columns))
  return [
    ...file.columns
      .filter((column) => !columns.includes(column))
      .map((column) => `line 1: the column ${column} of ${file.path} is missing; cells may be empty`),
    ...columns
      .filter((column) => known?.has(column) === false)
      .map((column) => `line 1: the table ${file.table.name} has no column "${column}"`),
  ]
}

function faulty({ path }: CorrectedFile, faults: readonly string[]): OperatorError {
  return new OperatorError(
    [`${path} cannot be taken back; nothing was sent:`, ...faults.map((one) => `  ${one}`)],
    'Every line needs the table, file and row that `heapferry rejected RUN --out` wrote. Lines may be deleted: their rows stay rejected.',
  )
}

const maxShapes = 10_000

/** What a cell was before it was written as text. */
function typesOf({ columns, types }: ExportFile, wanted: Columns): Types | undefined {
  return types && wanted.map((column) => types[columns.indexOf(column)] ?? undefined)
}

/** Makes rows of lines, with the columns that rows of their file have; rows with the same ones share one array. */
class Shapes {
  readonly #header: readonly string[]
  readonly #known = new Map<string, { columns: Columns; indexes: readonly number[] }>()

  constructor(header: readonly string[]) {
    this.#header = header
  }

  rowOf(file: ExportFile, place: RowPlace, values: Values): ReadRow {
    const { columns, indexes } = hasOwnColumns(file) ? this.#ofRow(file, values) : this.#ofFile(file)
    return {
      kind: 'row',
      place,
      columns,
      values: indexes.map((index) => values[index] ?? null),
      types: typesOf(file, columns),
    }
  }

  #ofFile(file: ExportFile) {
    return this.#remembered(file.id, () => file.columns.map((column) => this.#header.indexOf(column)))
  }

  /** Columns that only other rows of the table have are none of the row's. */
  #ofRow(file: ExportFile, values: Values) {
    const isOwn = (index: number): boolean =>
      (values[index] ?? null) !== null || file.columns.includes(this.#header[index] ?? '')
    const indexes = this.#header.flatMap((_, index) => (isOwn(index) ? [index] : []))
    return this.#remembered(`${file.id} ${indexes.join(' ')}`, () => indexes)
  }

  #remembered(key: string, make: () => readonly number[]) {
    const known = this.#known.get(key)
    if (known) return known
    if (this.#known.size >= maxShapes) this.#known.clear()
    const indexes = make()
    const shape = { indexes, columns: indexes.map((index) => this.#header[index] ?? '') }
    this.#known.set(key, shape)
    return shape
  }
}
