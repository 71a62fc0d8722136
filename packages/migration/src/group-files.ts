import { createHash } from 'node:crypto'
import { type ExportFile, FileId, type Mapping } from '@heapferry/domain'

/**
 * All files, and those of people once more for each type of groups that gets properties: PostHog takes them from an event of
 * their own, and a row of a table becomes one event. So what is said of groups is a table of its own, with rows that are
 * counted, sent and rejected as any others; the files behind it are the same.
 */
export function withGroupFiles(files: readonly ExportFile[], { groups }: Mapping): ExportFile[] {
  const described = Object.entries(groups).filter(([, { properties }]) => properties.length > 0)
  return [
    ...files,
    ...described.flatMap(([group, { key }]) => files.flatMap((file) => groupFile(file, group, key) ?? [])),
  ]
}

function groupFile(file: ExportFile, group: string, key: string): ExportFile | null {
  const { id, table, format, columns } = file
  if (table.kind !== 'users') return null
  // Any row of JSON may have other columns than the first ones.
  const isOfKeys = format.kind === 'json_lines' || format.kind === 'json_array'
  if (!isOfKeys && !columns.includes(key)) return null
  return {
    ...file,
    id: FileId.parse(createHash('sha256').update(`${id}\0groups\0${group}`).digest('hex').slice(0, 12)),
    table: { ...table, kind: 'groups', name: `group_${group}`, group, of: table.name },
  }
}
