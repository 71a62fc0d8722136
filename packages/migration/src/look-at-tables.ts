import { isTimeInWords } from '@heapferry/conversion'
import { type ExportFile, type Mapping, type ReadRow, type Source, withNulls } from '@heapferry/domain'
import pMap from 'p-map'
import { dialectNotices, suspicions } from './csv-notices.ts'
import { looksRounded } from './export-plan/looks-rounded.ts'
import { firstRows } from './first-rows.ts'
import { nullNotices, nullsShown } from './nulls-shown.ts'

/** What the first rows of each table show that nobody has said. */
export interface LookedAtTables {
  /** With the texts that each table writes for nothing. */
  files: ExportFile[]
  /** What a user should know. */
  notices: string[]
  /** Whose ids a spreadsheet seems to have cut. */
  roundedFiles: string[]
}

/**
 * One file of a table tells for all of it, since a table is exported in one go.
 * @param known tables that were looked at before, with the first files of a run: they stay as they were
 */
export async function lookAtTables(
  files: readonly ExportFile[],
  source: Pick<Source, 'readAll'>,
  mapping: Mapping,
  known: readonly ExportFile[] = [],
): Promise<LookedAtTables> {
  const nulls = new Map(known.map(({ table }) => [table.name, 'nulls' in table ? table.nulls : undefined]))
  const notices = dialectNotices(files, mapping)
  const roundedFiles: string[] = []
  const oneOfEach = new Map(files.map((file) => [file.table.name, file]))
  const looked = await pMap(
    oneOfEach.values(),
    async (file) => ({ file, rows: await firstRows(source, file, firstSlice) }),
    { concurrency: tablesAtOnce },
  )
  for (const { file, rows } of looked) {
    if (looksRounded(rows)) roundedFiles.push(file.path)
    const { table } = file
    if (!nulls.has(table.name)) nulls.set(table.name, nullsShown(rows, table, mapping))
    notices.push(...nullNotices(rows, withNulls(table, nulls.get(table.name)), mapping))
    notices.push(...suspicions(rows, file, mapping), ...timesInWords(rows, file))
  }
  return {
    files: files.map((file) => ({ ...file, table: withNulls(file.table, nulls.get(file.table.name)) })),
    notices,
    roundedFiles,
  }
}

const firstSlice = { rows: 1000, bytes: 1024 * 1024 }
// Over a network most of the time is waiting; the rows of each take a few megabytes.
const tablesAtOnce = 16

function timesInWords(rows: readonly ReadRow[], { table }: ExportFile): string[] {
  const columns = new Set<string>()
  for (const row of rows) {
    if (row.kind !== 'row') continue
    for (const column of timeColumns) {
      const text = row.values[row.columns.indexOf(column)] ?? null
      if (text !== null && isTimeInWords(text)) columns.add(column)
    }
  }
  return [...columns].map(
    (column) =>
      `${table.name}: ${column} is written for people to read, like "May 1, 2023, 10:00 AM". It is taken for UTC, and seconds that are not there for zero: export it as YYYY-MM-DD HH:MM:SS if the tool that wrote it shows another zone`,
  )
}

const timeColumns = ['time', 'session_time', 'joindate', 'last_modified']
