import type { ExportFile } from '@heapferry/domain'
import { countCut, unpackedBytesOf } from '../count-cut.ts'
import type { FileFormat } from '../file-format.ts'
import { sampleBytes } from '../sample-bytes.ts'
import { cutText, readText, type TextRows } from './read-text.ts'
import { readRowText, readTextAt } from './read-text-at.ts'

/** @param isEnterable where its rows begin is found from anywhere, and not from its beginning alone */
export function textFormat(file: ExportFile, rows: TextRows, { isEnterable }: { isEnterable: boolean }): FileFormat {
  const { firstRowByte, compression, encoding, version } = file
  const isPacked = compression !== 'none'
  const isCuttable = !isPacked && encoding === undefined
  const unpackedBytes = isPacked ? unpackedBytesOf(version) : version.sizeBytes
  const format: FileFormat = {
    cut: ({ content }, chunkBytes) => cutText(content, rows, firstRowByte, isCuttable ? chunkBytes : null),
    read: ({ content }, reading) => readText(content, rows, { ...reading, firstRowByte }),
    rowsAt: ({ content }, wanted) => readTextAt(content, rows, wanted, isCuttable),
    sample: (opened, count) => sampleBytes({ file, opened, read: format.read, unpackedBytes, isEnterable }, count),
    countRows: (opened, maxBytes) => countCut(opened, format.cut, { unpackedBytes, maxBytes }),
    rowOfText: (text, place) => readRowText(text, rows, place),
  }
  return format
}
