import type { ExportFile } from '@heapferry/domain'
import { countCut, unpackedBytesOf } from '../count-cut.ts'
import { type FileFormat, wholeFile } from '../file-format.ts'
import { rowsByNumber } from '../rows-by-number.ts'
import { sampleBytes } from '../sample-bytes.ts'
import { cutAvro, readAvro } from './read-avro.ts'

export function avroFormat(file: ExportFile): FileFormat {
  const { columns, compression, version } = file
  // Its blocks are packed, if the file is not.
  const unpackedBytes = unpackedBytesOf(version)
  const format: FileFormat = {
    cut: ({ content }, chunkBytes) => cutAvro(content, compression === 'none' ? chunkBytes : null, columns),
    read: ({ content }, reading) => readAvro(content, columns, reading),
    rowsAt: (opened, wanted) =>
      rowsByNumber((from, limits) => format.read(opened, { piece: wholeFile, from, limits }), wanted),
    sample: (opened, rows) => sampleBytes({ file, opened, read: format.read, unpackedBytes, isEnterable: true }, rows),
    countRows: (opened, maxBytes) => countCut(opened, format.cut, { unpackedBytes, maxBytes }),
    rowOfText: null,
  }
  return format
}
