import type { Columns, Mapping, Values } from '@heapferry/domain'
import { cellAt } from './compile-columns.ts'

/**
 * Columns in which tools that copy tables mark rows that the table itself has no more, as a flag or as the time of the
 * deletion. A plain `is_deleted` is no such mark: a company may have a property of that name.
 */
const deletionMarks: readonly string[] = [
  '_fivetran_deleted',
  '_sdc_deleted_at', // Stitch, and Singer's targets.
  '_ab_cdc_deleted_at', // Airbyte.
  '__deleted', // Debezium, and those who build on it.
  '_deleted',
  '__hevo__marked_deleted',
  '_peerdb_is_deleted',
  '_metadata_deleted', // Google Datastream.
  '__artie_delete',
]

/** Whether a row is marked as deleted; null where no column tells, or such rows are wanted. */
export function compileIsDeleted(columns: Columns, { deleted }: Mapping): ((values: Values) => boolean) | null {
  if (deleted === 'send') return null
  const cells = deletionMarks.flatMap((mark) => {
    const index = columns.indexOf(mark)
    return index === -1 ? [] : [cellAt(index)]
  })
  if (cells.length === 0) return null
  return (values) => cells.some((cell) => isMarked(cell(values)))
}

const notMarked: ReadonlySet<string> = new Set(['false', 'f', 'no', 'n', 'null', 'none', 'nan', 'nat', '<na>'])

function isMarked(text: string | null): boolean {
  if (text === null) return false
  const mark = text.trim().toLowerCase()
  return !notMarked.has(mark) && Number(mark) !== 0
}
