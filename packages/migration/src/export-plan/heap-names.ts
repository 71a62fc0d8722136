import type { ExportFile, ReadRow, Source } from '@heapferry/domain'

/** What Heap itself calls the events of tables, and what a user should know of it. */
export interface HeapNames {
  /** By table, of those that the export has. */
  names: ReadonlyMap<string, string>
  notices: string[]
}

// Heap does not document the columns of the table: these are what exports were seen to have, the likelier first.
const tableColumns = ['event_table_name', 'table_name']
const nameColumns = ['event_name', 'display_name', 'event', 'name']

// Heap's largest customers have a few hundred tables.
const mostRows = 100_000
/** PostHog's limit, in UTF-8 bytes. */
const nameMaxBytes = 200

/**
 * Reads Heap's names of events where the export has `_event_metadata`, as dumps of Heap Connect for S3 do. What a later
 * dump says goes over what earlier ones do. Nothing is kept but names of tables that are there.
 */
export async function heapNames(files: readonly ExportFile[], source: Pick<Source, 'readAll'>): Promise<HeapNames> {
  const tables = new Set(files.filter(({ table }) => table.kind === 'event').map(({ table }) => table.name))
  const names = new Map<string, string>()
  const notices: string[] = []
  let left = mostRows
  for (const file of files.filter(({ table }) => table.kind === 'helper' && table.name === '_event_metadata')) {
    if (columnOf(file.columns, tableColumns) === undefined || columnOf(file.columns, nameColumns) === undefined) {
      notices.push(
        `${file.path} should have Heap's names of events, but none of its columns is called so (expected one of ${tableColumns.join(', ')}, and one of ${nameColumns.join(', ')}): mapping init proposes words of table names instead`,
      )
      continue
    }
    for await (const { rows } of source.readAll(file)) {
      for (const row of rows) {
        if (left-- === 0) return { names, notices }
        const { table, name } = namedIn(row)
        if (tables.has(table) && isUsable(name)) names.set(table, name)
      }
    }
  }
  return { names, notices }
}

function namedIn(row: ReadRow): { table: string; name: string } {
  if (row.kind !== 'row') return { table: '', name: '' }
  const cell = (wanted: readonly string[]): string => {
    const column = columnOf(row.columns, wanted)
    return (column === undefined ? null : row.values[row.columns.indexOf(column)])?.trim() ?? ''
  }
  return { table: cell(tableColumns).toLowerCase(), name: cell(nameColumns) }
}

function columnOf(columns: readonly string[], wanted: readonly string[]): string | undefined {
  return wanted.find((column) => columns.includes(column))
}

/** Names with `$` are PostHog's own. */
function isUsable(name: string): boolean {
  return name !== '' && !name.startsWith('$') && Buffer.byteLength(name) <= nameMaxBytes
}
