import {
  type ExportFile,
  type FileId,
  OperatorError,
  type Phase,
  phaseOf,
  type ReadRow,
  type Source,
} from '@heapferry/domain'
import type { RowPlace, RowPlaces } from './row-places.ts'

/** A rejected row as it is read now: from its file, or as a person has mended it. */
export interface RereadRow {
  file: ExportFile
  place: RowPlace
  row: ReadRow
  /** As `FoundRow` has it. */
  text: string | null
}

/** The files that the places are in, by table and path. @throws OperatorError when the ledger does not know one of them */
export function filesOf(places: RowPlaces, files: readonly ExportFile[]): ExportFile[] {
  const byId = new Map(files.map((file) => [file.id, file]))
  return places.files.map((id) => byId.get(id) ?? unknownFile(id)).toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
}

function keyOf({ table, path }: ExportFile): string {
  return `${table.name}\0${path}`
}

function unknownFile(id: FileId): never {
  throw new OperatorError(
    `The file ${id} of the run is unknown to the ledger`,
    'Start the run command again: it plans what is missing.',
  )
}

/** Reads the rows at the places of a file again. */
export async function* rereadFile(
  places: RowPlaces,
  file: ExportFile,
  source: Pick<Source, 'rowsAt'>,
): AsyncGenerator<RereadRow> {
  const wanted = places.in(file.id)
  for await (const { row, text } of source.rowsAt(file, places.in(file.id))) {
    const { value: place, done } = wanted.next()
    if (done) throw new Error(`more rows of ${file.path} were read than asked for`)
    yield { file, place, row, text }
  }
}

export function rereadRows(
  places: RowPlaces,
  files: readonly ExportFile[],
  source: Pick<Source, 'rowsAt'>,
): (phase: Phase) => AsyncGenerator<RereadRow> {
  return async function* (phase) {
    for (const file of files) if (phaseOf(file.table.kind) === phase) yield* rereadFile(places, file, source)
  }
}

const batchRows = 1000
const batchChars = 1_500_000

/** Rows of one table put together, few enough to be held in memory and sent as one batch. */
export async function* batchesOf(rows: AsyncIterable<RereadRow>): AsyncGenerator<RereadRow[]> {
  let batch: RereadRow[] = []
  let chars = 0
  for await (const reread of rows) {
    if (batch[0] && batch[0].file.table.name !== reread.file.table.name) {
      yield batch
      batch = []
      chars = 0
    }
    batch.push(reread)
    chars += reread.text?.length ?? 0
    if (reread.row.kind === 'row') for (const value of reread.row.values) chars += value?.length ?? 0
    if (batch.length < batchRows && chars < batchChars) continue
    yield batch
    batch = []
    chars = 0
  }
  if (batch.length > 0) yield batch
}
