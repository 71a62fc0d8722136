import type { CsvDialect, ExportFile } from '@heapferry/domain'
import type { FileFormat } from '../file-format.ts'
import type { TextRows } from '../text/read-text.ts'
import { textFormat } from '../text/text-format.ts'
import { parseRows } from './parse-rows.ts'
import { RowScanner } from './row-scanner.ts'

export function csvFormat(file: ExportFile, dialect: CsvDialect): FileFormat {
  const rows: TextRows = {
    finder: () => new RowScanner(dialect),
    parse: (group, firstRow) => parseRows(group, firstRow, dialect, file.columns),
  }
  return textFormat(file, rows, { isEnterable: true })
}
