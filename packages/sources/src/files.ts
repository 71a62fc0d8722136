import {
  type Compression,
  type Cut,
  type ExportFile,
  type Format,
  type Mapping,
  OperatorError,
  type Piece,
  type Position,
  type Slice,
  type SliceLimits,
  type Source,
  requiredColumns,
  type Table,
  tableIn,
} from '@heapferry/domain'
import { inspectAvro } from './avro/inspect-avro.ts'
import { cutAvro, readAvro } from './avro/read-avro.ts'
import { type Blob, fileIdOf } from './blob.ts'
import { compressionOf } from './compression/compression-of.ts'
import { damagedBeforeRows } from './compression/damaged-content.ts'
import { contentOf, headOf } from './content.ts'
import { csvFormat } from './csv/csv-format.ts'
import { inspectCsv } from './csv/inspect-csv.ts'
import type { FoundFile } from './discover.ts'
import { inspectJson } from './json/inspect-json.ts'
import { jsonFormat } from './json/json-format.ts'
import { inspectParquet } from './parquet/inspect-parquet.ts'
import { cutParquet, readParquet } from './parquet/read-parquet.ts'
import type { Place } from './place.ts'
import { tableNameOf } from './table-name.ts'
import { cutText, readText, type TextFormat } from './text/text-format.ts'
import { withPath } from './unusable-file.ts'

/** What a file holds: no table where it is empty, two where events and identify records are mixed. */
export interface Inspection {
  files: ExportFile[]
  /** What a user should know of it. */
  notices: string[]
}

/** What the beginning of a file tells, whatever its format. */
interface Head {
  format: Format
  columns: readonly string[]
  firstRowByte: number
  /** Where the content tells more than the file's name. */
  table?: Table
  notices?: string[]
}

/**
 * What a file of an export holds, by its name and its beginning.
 * @throws OperatorError when it is not a file that a table can be read from
 */
export async function inspectFile(place: Place, found: FoundFile, mapping: Mapping): Promise<Inspection> {
  const { path } = found
  const blob = await place.open(path)
  try {
    if (blob.version.sizeBytes === 0) return { files: [], notices: [`${path} is empty`] }
    const compression = await compressionOfBlob(blob)
    const heads = await headsOf(blob, compression, found, mapping)
    if (heads.length === 0) return { files: [], notices: [`${path} is empty`] }
    const files = heads.map((head): ExportFile => {
      const { format, columns, firstRowByte } = head
      const table = head.table ?? tableIn(mapping, nameOf(found), columns)
      assertColumns(path, table, columns)
      return {
        id: fileIdOf(table.kind === 'identify' ? `${path}\0identify` : path),
        path,
        table: table.kind === 'users' && found.dump !== undefined ? { ...table, dump: found.dump } : table,
        format,
        compression,
        columns,
        firstRowByte,
        version: blob.version,
      }
    })
    return { files, notices: heads.flatMap(({ notices = [] }) => notices) }
  } catch (error) {
    throw withPath(path, error)
  } finally {
    await blob.close()
  }
}

/** @throws SourceChanged when the file is not the one that was inspected */
export async function* cutFile(place: Place, file: ExportFile, chunkBytes: number): AsyncGenerator<Cut> {
  const blob = await place.open(file.path, file.version)
  try {
    const content = contentOf(blob, file.compression)
    const bytes = file.compression === 'none' ? chunkBytes : null
    switch (file.format.kind) {
      case 'csv':
      case 'json_lines':
      case 'json_array':
        yield* cutText(content, textFormat(file.format, file.columns), file.firstRowByte, bytes)
        return
      case 'avro':
        yield* cutAvro(content, bytes)
        return
      case 'parquet':
        yield* cutParquet(blob, chunkBytes)
    }
  } catch (error) {
    throw withPath(file.path, error)
  } finally {
    await blob.close()
  }
}

/** Reads pieces of files of a place. */
export function fileReader(place: Place): Pick<Source, 'read'> {
  return {
    async *read(file: ExportFile, piece: Piece, from: Position, limits: SliceLimits): AsyncGenerator<Slice> {
      const blob = await place.open(file.path, file.version)
      try {
        const content = contentOf(blob, file.compression)
        switch (file.format.kind) {
          case 'csv':
          case 'json_lines':
          case 'json_array':
            yield* readText(content, textFormat(file.format, file.columns), file, piece, from, limits)
            return
          case 'avro':
            yield* readAvro(content, file.columns, piece, from, limits)
            return
          case 'parquet':
            yield* readParquet(blob, file.columns, piece, from, limits)
        }
      } catch (error) {
        throw withPath(file.path, error)
      } finally {
        await blob.close()
      }
    },
  }
}

/** The table that a file is named for. */
function nameOf(found: FoundFile): string {
  return found.table ?? tableNameOf(found.path)
}

async function compressionOfBlob(blob: Blob): Promise<Compression> {
  const magic = Buffer.alloc(Math.min(magicBytes, blob.version.sizeBytes))
  await blob.fill(magic, 0)
  return compressionOf(magic)
}

const magicBytes = 16

async function headsOf(
  blob: Blob,
  compression: Compression,
  found: FoundFile,
  mapping: Mapping,
): Promise<readonly Head[]> {
  const { path } = found
  const table = nameOf(found)
  const content = contentOf(blob, compression)
  const { bytes: magic, damage } = await headOf(content, magicBytes)
  // What the file is cannot be told, and no table has a row so short.
  if (damage !== null) throw damagedBeforeRows(damage)
  if (compression !== 'none') assertNotTwice(path, magic, compression)
  switch (kindOf(path, magic)) {
    case 'avro':
      return [await inspectAvro(content, path)]
    case 'parquet':
      if (compression === 'none') return [await inspectParquet(blob, path)]
      throw new OperatorError(
        `${path} is a Parquet file inside of ${compression}: it cannot be read without unpacking it first`,
        'Unpack it; Parquet is compressed inside.',
      )
    case 'json':
      return inspectJson(content, { path, table, mapping })
    case 'csv': {
      const head = await inspectCsv(content, { path, table, mapping })
      if (!head) return []
      return [{ ...head, format: { kind: 'csv', ...head.dialect } }]
    }
  }
}

/** By the first bytes; those of JSON may also begin a CSV file that says by its name that it is one. */
function kindOf(path: string, magic: Buffer): 'avro' | 'parquet' | 'json' | 'csv' {
  const text = magic.toString('latin1')
  if (text.startsWith('Obj\x01')) return 'avro'
  if (text.startsWith('PAR1')) return 'parquet'
  assertNamedOtherwise(path)
  if (/\.(?:json|jsonl|ndjson)\b/i.test(path)) return 'json'
  return /^(?:\xef\xbb\xbf)?\s*[{[]/.test(text) && !/\.(?:csv|tsv|psv)\b/i.test(path) ? 'json' : 'csv'
}

/** Such a file would be told to be no CSV, which its owner never took it for. */
function assertNamedOtherwise(path: string): void {
  const [, name] = /\.(avro|parquet)(?:\.\w+)?$/i.exec(path) ?? []
  if (name === undefined) return
  throw new OperatorError(
    `${path} does not begin like ${name.toLowerCase() === 'avro' ? 'an Avro' : 'a Parquet'} file`,
    'Copy the file again, or export the table again. If it is of another kind, name it for that.',
  )
}

function assertNotTwice(path: string, magic: Buffer, outer: Compression): void {
  const inner = compressionOf(magic)
  if (inner === 'none') return
  throw new OperatorError(
    `${path} is compressed twice: inside of ${outer} it holds ${inner} again`,
    'Unpack it once and keep what comes out, or export the table again.',
  )
}

function assertColumns(path: string, table: Table, columns: readonly string[]): void {
  const required = requiredColumns(table.kind)
  const missing = required.filter((column) => !columns.includes(column))
  if (missing.length === 0) return
  throw new OperatorError(
    `${path}: the table ${table.name} needs the columns ${required.join(', ')}; the file has no ${missing.join(', ')}`,
    `If it is a CSV file without a header, give its columns in the mapping file: tables: { ${table.name}: { columns: [...] } }.`,
  )
}

export function textFormat(
  format: Extract<Format, { kind: 'csv' | 'json_lines' | 'json_array' }>,
  columns: readonly string[],
): TextFormat {
  return format.kind === 'csv' ? csvFormat(format, columns) : jsonFormat(format, columns)
}
