import {
  type ExportFile,
  type ReadRow,
  type RejectedRow,
  type RejectedLedger,
  type RunId,
  type Source,
} from '@heapferry/domain'
import { csvLine } from '../csv-line.ts'
import { withoutFormula } from './formulas.ts'
import { batchesOf, rereadFile, type RereadRow } from './reread-rows.ts'
import type { RowPlaces } from './row-places.ts'

/** What every line of exported rows begins with. `raw` is what stands in the file where no row could be read. */
export const leadingColumns = ['reason', 'detail', 'table', 'file', 'row', 'byte', 'raw'] as const

export interface ExportedTable {
  table: string
  /** Lines of CSV with their ends, the header first. */
  lines: AsyncIterable<string>
}

interface ExportWork {
  run: RunId
  ledger: Pick<RejectedLedger, 'rejectedAt'>
  source: Pick<Source, 'rowsAt'>
}

/**
 * The rejected rows as they stand in the export, a table at a time, each with its reason and place in front. Cells that
 * spreadsheets would take for formulas have a `'` in front, which is taken away again when the rows are given back; all
 * others are kept as they are.
 */
export function exportRejected(places: RowPlaces, files: readonly ExportFile[], work: ExportWork): ExportedTable[] {
  const tables = [...new Set(files.map(({ table }) => table.name))].toSorted()
  return tables.map((table) => ({
    table,
    lines: linesOf(
      places,
      files.filter((file) => file.table.name === table),
      work,
    ),
  }))
}

async function* linesOf(
  places: RowPlaces,
  files: readonly ExportFile[],
  { run, ledger, source }: ExportWork,
): AsyncGenerator<string> {
  const columns = await columnsOf(places, files, source)
  yield harmlessLine([...leadingColumns, ...columns])
  for (const file of files) {
    for await (const rows of batchesOf(rereadFile(places, file, source))) {
      const stored = await ledger.rejectedAt(
        run,
        rows.map(({ place }) => place),
      )
      for (const [index, reread] of rows.entries()) {
        const rejected = stored[index]
        // A retry has settled it meanwhile.
        if (rejected) yield lineOf(rejected, reread, columns)
      }
    }
  }
}

function lineOf(rejected: RejectedRow, { file, row, text }: RereadRow, columns: string[]): string {
  const { reason, detail, table, byte } = rejected
  const cells = row.kind === 'row' ? cellsIn(columns, row) : columns.map(() => null)
  return harmlessLine([reason, detail, table, file.path, String(rejected.row), String(byte), text, ...cells])
}

/** Two columns of a row may have one name, in JSON: the second goes to the second column of that name. */
function cellsIn(columns: readonly string[], row: Extract<ReadRow, { kind: 'row' }>): (string | null)[] {
  const cells: (string | null)[] = columns.map(() => null)
  const next = new Map<string, number>()
  for (const [index, column] of row.columns.entries()) {
    const at = columns.indexOf(column, next.get(column) ?? 0)
    if (at === -1) continue
    next.set(column, at + 1)
    cells[at] = row.values[index] ?? null
  }
  return cells
}

/** All columns of the rows. Of JSON each row has its own: they are read once more, only for their columns. */
async function columnsOf(
  places: RowPlaces,
  files: readonly ExportFile[],
  source: ExportWork['source'],
): Promise<string[]> {
  const columns: string[] = []
  const known = new Set<readonly string[]>()
  const add = (more: readonly string[]): void => {
    if (known.has(more)) return
    known.add(more)
    const next = new Map<string, number>()
    for (const column of more) {
      const at = columns.indexOf(column, next.get(column) ?? 0)
      next.set(column, (at === -1 ? columns.push(column) - 1 : at) + 1)
    }
  }
  for (const file of files) {
    add(file.columns)
    if (!hasOwnColumns(file)) continue
    for await (const { row } of source.rowsAt(file, places.in(file.id))) if (row.kind === 'row') add(row.columns)
  }
  return columns
}

/** Whether each row of a file has columns of its own. */
export function hasOwnColumns({ format }: ExportFile): boolean {
  return format.kind === 'json_lines' || format.kind === 'json_array'
}

/** Nothing of it is calculated by a spreadsheet. */
function harmlessLine(cells: readonly (string | null)[]): string {
  return csvLine(cells.map((cell) => (cell === null ? '' : withoutFormula(cell))))
}
