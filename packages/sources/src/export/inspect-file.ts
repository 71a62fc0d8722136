import { createHash } from 'node:crypto'
import {
  type Compression,
  type ExportFile,
  FileId,
  isRowIndex,
  type Mapping,
  OperatorError,
  requiredColumns,
  type Table,
  tableIn,
} from '@heapferry/domain'
import type { TableInFile, UnknownFile } from '../formats/file-format.ts'
import { inspectors } from '../formats/formats.ts'
import { type Blob, beginningBytes, holding } from '../places/blob.ts'
import type { ExportPlace } from '../places/open-place.ts'
import { compressionOf } from '../unpacking/compression-of.ts'
import { beginningOf, contentOf } from '../unpacking/content.ts'
import { damagedBeforeRows } from '../unpacking/damaged-content.ts'
import { withPath } from '../unusable-file.ts'
import type { FoundFile } from './discover.ts'
import { tableNameOf } from './table-name.ts'

/** What a file holds: no table where it is empty, two where events and identify records are mixed. */
export interface Inspection {
  files: ExportFile[]
  /** What a user should know of it. */
  notices: string[]
}

/**
 * What a file of an export holds, by its name and its beginning.
 * @throws OperatorError when it is not a file that a table can be read from
 */
export async function inspectFile(place: ExportPlace, found: FoundFile, mapping: Mapping): Promise<Inspection> {
  const { path } = found
  const blob = await place.open(path)
  try {
    const { sizeBytes } = blob.version
    // Fetched once, and for most files all that is.
    const near = await holding(blob, 0, Math.min(beginningBytes, sizeBytes))
    const compression = await compressionOfBlob(near)
    const tables = sizeBytes === 0 ? [] : await tablesIn(near, { path, compression, table: nameOf(found), mapping })
    if (tables.length === 0) return { files: [], notices: [`${path} is empty`] }
    const files = tables.map((inFile): ExportFile => {
      const { format, columns, firstRowByte } = inFile
      const table = inFile.table ?? tableIn(mapping, nameOf(found), columns)
      assertColumns(path, table, columns)
      return {
        id: fileIdOf(table.kind === 'identify' ? `${path}\0identify` : path),
        path,
        table: table.kind === 'users' && found.dump !== undefined ? { ...table, dump: found.dump } : table,
        format,
        compression,
        columns,
        ...(inFile.types && { types: inFile.types }),
        firstRowByte,
        version: blob.version,
      }
    })
    return { files, notices: [...tables.flatMap(({ notices = [] }) => notices), ...indexNotices(files)] }
  } catch (error) {
    throw withPath(path, error)
  } finally {
    await blob.close()
  }
}

/** What is left out is told: it may hold something else, after all. */
function indexNotices(files: readonly ExportFile[]): string[] {
  return files.flatMap(({ path, table, columns }) =>
    columns.filter(isRowIndex).map((column) => {
      const which = column === '' ? 'a column without a name' : `the column "${column}"`
      const rule =
        column === ''
          ? `tables: { ${table.name}: { columns: [...] } } gives it one`
          : 'a rule under properties: keeps it'
      return `${path}: ${which} is taken for the numbers of rows, as tools of data frames write them, and left out; in the mapping file ${rule}`
    }),
  )
}

/** @param name the path relative to the export; where one file holds two tables, with something behind that no path has */
function fileIdOf(name: string): FileId {
  return FileId.parse(createHash('sha256').update(name).digest('hex').slice(0, 12))
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

async function tablesIn(
  blob: Blob,
  file: Pick<UnknownFile, 'path' | 'compression' | 'table' | 'mapping'>,
): Promise<TableInFile[]> {
  const { path, compression } = file
  const content = contentOf(blob, compression)
  const beginning = await beginningOf(content, beginningBytes)
  const magic = beginning.bytes.subarray(0, magicBytes)
  // What the file is cannot be told, and no table has a row so short.
  if (beginning.damage !== null && magic.length < magicBytes) throw damagedBeforeRows(beginning.damage)
  if (compression !== 'none') assertNotTwice(path, magic, compression)
  return inspectors[kindOf(path, magic)]({ ...file, blob, content, beginning })
}

/** By the first bytes; those of JSON may also begin a CSV file that says by its name that it is one. */
function kindOf(path: string, magic: Buffer): keyof typeof inspectors {
  const text = magic.toString('latin1')
  if (text.startsWith('Obj\x01')) return 'avro'
  if (text.startsWith('PAR1')) return 'parquet'
  assertNamedOtherwise(path)
  if (/\.(?:json|jsonl|ndjson)\b/i.test(path)) return 'json'
  return /^(?:\xef\xbb\xbf)?\s*[{[]/.test(text) && !/\.(?:csv|tsv|psv)\b/i.test(path) ? 'json' : 'csv'
}

/** Such a file would be told to be no CSV, which its owner never took it for. */
function assertNamedOtherwise(path: string): void {
  const [, name] = /\.(avro|parquet|parq|pq)(?:\.\w+)?$/i.exec(path) ?? []
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
