import type { CsvDialect, ExportFile } from '@heapferry/domain'
import type { FileFormat } from '../file-format.ts'
import type { TextRows } from '../text/read-text.ts'
import { textFormat } from '../text/text-format.ts'
import { parseRows } from './parse-rows.ts'
import { finderOf } from './finder-of.ts'

export function csvFormat(file: ExportFile, dialect: CsvDialect): FileFormat {
  const rows: TextRows = {
    finder: () => finderOf(dialect),
    parse: (group, firstRow) => parseRows(group, firstRow, dialect, file.columns),
  }
  return textFormat(file, rows, { isEnterable: true })
}
