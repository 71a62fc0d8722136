import type { CsvDialect } from '@heapferry/domain'
import type { RowFinder } from '../text/row-finder.ts'
import { DialectScanner, isCommon } from './dialect-scanner.ts'
import { RowScanner } from './row-scanner.ts'

export function finderOf(dialect: CsvDialect, maxRowBytes?: number): RowFinder {
  return isCommon(dialect) ? new RowScanner(dialect, maxRowBytes) : new DialectScanner(dialect, maxRowBytes)
}
