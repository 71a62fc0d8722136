import type { ExportFile, FileId, ReadRow, Source, TableKind } from '@heapferry/domain'
import { firstRows } from '../first-rows.ts'

// Every row of a small file, and of others as many as come with the first bytes.
const smallBytes = 1024 * 1024
const firstSlice = { rows: 500, bytes: 256 * 1024 }
// Ten thousand shards would take minutes over a network. Copies are of one size, so those of one size come first.
const filesOfTable = 16
const filesInAll = 200
// Heap itself writes one row in a thousand twice.
const repeatedShare = 0.1

const tables: ReadonlySet<TableKind> = new Set(['users', 'user_migrations', 'pageviews', 'event', 'raw_events'])

/**
 * Which files of one table hold the same rows: copies of a file, or exports of the same days. Their events have the same
 * uuids, so PostHog keeps one of each; they are counted twice on the way.
 * @param told files that were looked at before: a table of which there is no other is not looked at again
 */
export async function repeatedFileNotices(
  source: Pick<Source, 'readAll' | 'sample'>,
  files: readonly ExportFile[],
  told: { has(file: FileId): boolean } = new Set<FileId>(),
): Promise<string[]> {
  const notices: string[] = []
  let left = filesInAll
  for (const [table, group] of byTable(files)) {
    if (group.length < 2 || group.every(({ id }) => told.has(id))) continue
    const chosen = sameSizesFirst(group).slice(0, Math.min(filesOfTable, left))
    left -= chosen.length
    const keysOfFiles = await Promise.all(chosen.map(async (file) => new Set(await keysOf(source, file))))
    const firstOf = new Map<string, ExportFile>()
    for (const [index, file] of chosen.entries()) {
      const keys = keysOfFiles[index] ?? new Set()
      const repeated = [...keys].filter((key) => firstOf.has(key))
      if (keys.size > 0 && repeated.length >= keys.size * repeatedShare) {
        const others = new Set(repeated.map((key) => firstOf.get(key)?.path))
        notices.push(
          `${table}: ${repeated.length} of ${keys.size} rows of ${file.path} that were looked at are in ${[...others].slice(0, 3).join(', ')} too. PostHog keeps one of each; leave one of the files out if it is a copy.`,
        )
      }
      for (const key of keys) if (!firstOf.has(key)) firstOf.set(key, file)
    }
  }
  return notices
}

/** In their order but for that. */
function sameSizesFirst(files: readonly ExportFile[]): ExportFile[] {
  const counts = new Map<number, number>()
  for (const { version } of files) counts.set(version.sizeBytes, (counts.get(version.sizeBytes) ?? 0) + 1)
  const isAlone = ({ version }: ExportFile): number => (counts.get(version.sizeBytes) === 1 ? 1 : 0)
  return files.toSorted((a, b) => isAlone(a) - isAlone(b))
}

function byTable(files: readonly ExportFile[]): Map<string, ExportFile[]> {
  const groups = new Map<string, ExportFile[]>()
  for (const file of files) {
    // A dump of Heap Connect repeats rows of those before it, and is meant to.
    if (!tables.has(file.table.kind) || file.toldBy === 'manifest') continue
    const group = groups.get(file.table.name)
    if (group) group.push(file)
    else groups.set(file.table.name, [file])
  }
  return groups
}

async function keysOf(source: Pick<Source, 'readAll' | 'sample'>, file: ExportFile): Promise<string[]> {
  const rows =
    file.version.sizeBytes <= smallBytes
      ? (await source.sample(file, Number.MAX_SAFE_INTEGER)).rows
      : await firstRows(source, file, firstSlice)
  return [...rows].flatMap((row) => (row.kind === 'row' ? [keyOf(row)] : []))
}

/** What its uuid is made of: the number of the event, or all that the row says. */
function keyOf({ columns, values }: ReadRow & { kind: 'row' }): string {
  const eventId = values[columns.indexOf('event_id')] ?? null
  if (eventId !== null && eventId !== '0') return eventId
  const cells = columns.flatMap((column, index) =>
    values[index] === null ? [] : [JSON.stringify([column, values[index]])],
  )
  return cells.toSorted().join()
}
