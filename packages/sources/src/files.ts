import {
  type Chunk,
  type ChunkReader,
  type Cut,
  type ExportFile,
  type Mapping,
  OperatorError,
  type Position,
  type Slice,
  type SliceLimits,
  requiredColumns,
  tableOf,
} from '@heapferry/domain'
import { fileIdOf, openFile } from './blob.ts'
import { cutCsv } from './csv/cut-csv.ts'
import { inspectCsv } from './csv/inspect-csv.ts'
import { readCsv } from './csv/read-csv.ts'
import { tableNameOf } from './table-name.ts'

/**
 * What a file of an export holds, by its name and its header.
 * @returns null for an empty file
 * @throws OperatorError when it is not a file that a table can be read from
 */
export async function inspectFile(root: string, path: string, mapping: Mapping): Promise<ExportFile | null> {
  const blob = await openFile(root, path)
  try {
    const name = tableNameOf(path)
    const head = await inspectCsv(blob, { path, table: name, mapping })
    if (!head) return null
    const table = tableOf(name, head.columns)
    const missing = requiredColumns(table.kind).filter((column) => !head.columns.includes(column))
    if (missing.length > 0) {
      throw new OperatorError(
        `${path}: the table ${table.name} needs the columns ${requiredColumns(table.kind).join(', ')}; its first line has no ${missing.join(', ')}`,
        `If the file has no header, give its columns in the mapping file: tables: { ${table.name}: { columns: [...] } }.`,
      )
    }
    return {
      id: fileIdOf(path),
      path,
      table,
      format: { kind: 'csv', ...head.dialect },
      columns: head.columns,
      firstRowByte: head.firstRowByte,
      version: blob.version,
    }
  } finally {
    await blob.close()
  }
}

/** @throws SourceChanged when the file is not the one that was inspected */
export async function* cutFile(root: string, file: ExportFile, chunkBytes: number): AsyncGenerator<Cut> {
  const blob = await openFile(root, file.path, file.version)
  try {
    switch (file.format.kind) {
      case 'csv':
        yield* cutCsv(blob, { ...file, dialect: file.format }, chunkBytes)
    }
  } finally {
    await blob.close()
  }
}

/** Reads chunks of files below a folder. */
export function fileReader(root: string): ChunkReader {
  return {
    async *read(file: ExportFile, chunk: Chunk, from: Position, limits: SliceLimits): AsyncGenerator<Slice> {
      const blob = await openFile(root, file.path, file.version)
      try {
        switch (file.format.kind) {
          case 'csv':
            yield* readCsv(blob, file.format, file.columns, chunk, from, limits)
        }
      } finally {
        await blob.close()
      }
    },
  }
}
