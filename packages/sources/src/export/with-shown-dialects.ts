import { type CsvDialect, csvIn, type ExportFile, type Mapping } from '@heapferry/domain'
import { isSame } from '../formats/csv/look-at-dialect.ts'
import type { Looking } from '../formats/file-format.ts'
import { beginningBytes } from '../places/blob.ts'
import type { Inspected } from './inspect-export.ts'

/** Looks again at those that are to be looked at in some way; the others stay as they are. */
type LookAgain = (
  all: readonly Inspected[],
  lookingAt: (one: Inspected) => Looking | null,
) => Promise<readonly Inspected[]>

// Rows with a quote or a line end in a cell may be few.
const deepBytes = 1024 * 1024

/**
 * An export is unloaded in one way, but not each of its files has rows that show it. Where none of a table does, more of
 * its largest file is looked at; then every other file is looked at again with what some show, first those of its own
 * table.
 */
export async function withShownDialects(
  looked: readonly Inspected[],
  mapping: Mapping,
  lookAgain: LookAgain,
): Promise<readonly Inspected[]> {
  const again = (all: readonly Inspected[], lookingAt: (file: ExportFile) => Looking | null) =>
    lookAgain(all, (one) => {
      const file = csvFileOf(one)
      return file && isUsual(file) ? lookingAt(file) : null
    })
  const seen = shownIn(looked, mapping)
  const largest = new Map<string, ExportFile>()
  for (const one of looked) {
    const file = csvFileOf(one)
    if (!file || file.version.sizeBytes <= (largest.get(file.table.name)?.version.sizeBytes ?? beginningBytes)) continue
    largest.set(file.table.name, file)
  }
  const deep = await again(looked, (file) =>
    !seen.has(file.table.name) && largest.get(file.table.name)?.id === file.id ? { bytes: deepBytes, shown: [] } : null,
  )
  const shown = shownIn(deep, mapping)
  if (shown.size === 0) return deep
  const ofAll = [...shown.values()].flat()
  return again(deep, (file) => ({ bytes: beginningBytes, shown: [...(shown.get(file.table.name) ?? []), ...ofAll] }))
}

/** By table: the dialects that rows show to be other than the usual one. */
function shownIn(looked: readonly Inspected[], mapping: Mapping): Map<string, CsvDialect[]> {
  const shown = new Map<string, CsvDialect[]>()
  for (const one of looked) {
    const file = csvFileOf(one)
    if (!file || isUsual(file)) continue
    const { name } = file.table
    const { quote, escape } = csvIn(mapping, name)
    if (quote !== undefined || escape !== undefined) continue
    const known = shown.get(name) ?? []
    if (!known.some((dialect) => isSame(dialect, file.format))) known.push(file.format)
    shown.set(name, known)
  }
  return shown
}

type CsvFile = ExportFile & { format: { kind: 'csv' } }

function csvFileOf(one: Inspected): CsvFile | undefined {
  const [file] = one.kind === 'inspected' ? one.files : []
  return file && isCsv(file) ? file : undefined
}

function isCsv(file: ExportFile): file is CsvFile {
  return file.format.kind === 'csv'
}

function isUsual({ format }: ExportFile): boolean {
  return format.kind === 'csv' && isSame(format, { delimiter: ',', quote: '"' })
}
