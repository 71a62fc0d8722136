import type { Columns, CsvDialect } from '@heapferry/domain'
import type { TextFormat } from '../text/text-format.ts'
import { parseRows } from './parse-rows.ts'
import { RowScanner } from './row-scanner.ts'

export function csvFormat(dialect: CsvDialect, columns: Columns): TextFormat {
  return {
    finder: () => new RowScanner(dialect),
    parse: (group, firstRow) => parseRows(group, firstRow, dialect, columns),
  }
}
