import { type CsvDialect, csvIn, type ExportFile, type Mapping, type ReadRow } from '@heapferry/domain'
import { grouped } from './wording.ts'

/** How files are read that are no usual CSV, where rows have shown it. */
export function dialectNotices(files: readonly ExportFile[], mapping: Mapping): string[] {
  const tables = new Map<string, string[]>()
  for (const { format, table } of files) {
    if (format.kind !== 'csv') continue
    const { quote, escape } = csvIn(mapping, table.name)
    const isSaid = quote !== undefined || escape !== undefined
    if (isSaid || (format.quote === '"' && format.escape === undefined)) continue
    const text = dialectText(format)
    tables.set(text, [...(tables.get(text) ?? []), table.name])
  }
  return [...tables].map(
    ([text, names]) =>
      `${[...new Set(names)].join(', ')}: ${text}, as rows show. csv: in the mapping file says it otherwise`,
  )
}

function dialectText({ quote, escape }: CsvDialect): string {
  const cells = quote === '"' ? 'quoted as usual' : quote === "'" ? 'in single quotes' : 'in no quotes'
  if (escape === undefined) return `read as CSV with cells ${cells}`
  const what = quote === '' ? 'delimiters and line ends' : 'quotes'
  return `read as CSV with cells ${cells} and a backslash before ${what} that are text`
}

/** What rows look like that may be written in another way than they are read. */
export function suspicions(rows: readonly ReadRow[], { path, format, table }: ExportFile, mapping: Mapping): string[] {
  if (format.kind !== 'csv') return []
  const said = csvIn(mapping, table.name)
  const cells = rows.flatMap((row) => (row.kind === 'row' ? row.values.filter((value) => value !== null) : []))
  const of = `of the first ${grouped(rows.length)} rows of ${path}`
  // JSON in a cell has backslashes of its own.
  const escaped = cells.filter((text) => /\\$|\\[\\"'|,;\t]/.test(text) && !/^[[{]/.test(text)).length
  const single = columnsInSingleQuotes(rows)
  return [
    ...(escaped > 0 && format.escape === undefined && said.escape === undefined
      ? [
          `${grouped(escaped)} cells ${of} end with a backslash, or have one before a sign that backslashes escape: was this unloaded with ESCAPE? Then say csv: { escape: "\\\\" } in the mapping file, else escape: ""`,
        ]
      : []),
    ...(single.length > 0 && format.quote !== "'" && said.quote === undefined
      ? [
          `All cells of ${single.join(', ')} ${of} stand in single quotes: if these quote, say csv: { quote: "'" } in the mapping file, else quote: '"'`,
        ]
      : []),
  ]
}

function columnsInSingleQuotes(rows: readonly ReadRow[]): string[] {
  const inQuotes = new Map<string, boolean>()
  for (const row of rows) {
    if (row.kind !== 'row') continue
    for (const [index, column] of row.columns.entries()) {
      const text = row.values[index] ?? null
      if (text !== null) inQuotes.set(column, (inQuotes.get(column) ?? true) && /^'.*'$/s.test(text))
    }
  }
  return [...inQuotes].filter(([, all]) => all).map(([column]) => column)
}
