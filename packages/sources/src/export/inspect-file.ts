import { createHash } from 'node:crypto'
import {
  type Compression,
  csvIn,
  type ExportFile,
  FileId,
  type Format,
  isRowIndex,
  type Mapping,
  OperatorError,
  requiredColumns,
  type Table,
  tableOf,
  tableSaid,
  type TextEncoding,
  type ToldBy,
} from '@heapferry/domain'
import type { Looking, TableInFile, UnknownFile } from '../formats/file-format.ts'
import { formatOf, inspectors } from '../formats/formats.ts'
import { begun, type Blob, beginningBytes } from '../places/blob.ts'
import type { ExportPlace } from '../places/open-place.ts'
import { compressionOf } from '../unpacking/compression-of.ts'
import { beginningOf, contentOf } from '../unpacking/content.ts'
import { damagedBeforeRows } from '../unpacking/damaged-content.ts'
import { encodingOf } from '../unpacking/transcoded.ts'
import { withPath } from '../unusable-file.ts'
import type { FoundFile } from './discover.ts'
import { renaming, suspicionOf } from './looks-like-actions.ts'
import { renamedColumns, renamesOf } from './renamed-columns.ts'
import { type ToldTable, tableByColumns } from './table-by-columns.ts'
import { type NamedTable, namedTables } from './table-name.ts'
import { tableSaidOf } from './table-said-of.ts'

/** What a file holds: no table where it is empty, two where events and identify records are mixed. */
export interface Inspection {
  files: ExportFile[]
  /** What a user should know of it. */
  notices: string[]
  /** Columns of it that the mapping calls otherwise, by their names in the file. */
  renamed: string[]
}

// Enough to see what stands in its columns.
const sampledRows = 50

/**
 * What a file of an export holds, by its name and its beginning.
 * @throws OperatorError when it is not a file that a table can be read from
 */
export async function inspectFile(
  place: ExportPlace,
  found: FoundFile,
  mapping: Mapping,
  looking?: Looking,
): Promise<Inspection> {
  return inspectBegun(await beginFile(place, found), found, mapping, looking)
}

/**
 * A file that is open, with its beginning: fetched once, and for most files all that is.
 * @throws OperatorError when it cannot be read
 */
export async function beginFile(place: ExportPlace, { path }: FoundFile): Promise<Blob> {
  const blob = await place.open(path)
  return begun(blob, Math.min(beginningBytes, blob.version.sizeBytes))
}

/** The same as `inspectFile`, of a file that was begun; closes it. */
export async function inspectBegun(
  near: Blob,
  found: FoundFile,
  mapping: Mapping,
  looking: Looking = { bytes: beginningBytes, shown: [] },
): Promise<Inspection> {
  const { path } = found
  try {
    const compression = await compressionOfBlob(near)
    const named = nameOf(found, mapping)
    const { table: name, called } = named
    const { tables, encoding } = await tablesIn(near, { path, compression, table: name, called, mapping, looking })
    if (tables.length === 0) return { files: [], notices: [`${path} is empty`], renamed: [] }
    const notices = tables.flatMap((inFile) => inFile.notices ?? [])
    const renamed = new Set<string>()
    const files: ExportFile[] = []
    for (const inFile of tables) {
      const { firstRowByte } = inFile
      const columns = renamedColumns(inFile.columns, mapping, {
        path,
        table: name,
        areOrdered: !isOfKeys(inFile.format),
      })
      for (const [index, column] of inFile.columns.entries()) if (columns[index] !== column) renamed.add(column)
      const told = tableIn(path, named, { ...inFile, columns }, mapping)
      notices.push(...told.notices)
      const { table } = told
      assertColumns(path, table, columns)
      const file: ExportFile = {
        id: fileIdOf(table.kind === 'identify' ? `${path}\0identify` : path),
        path,
        table: table.kind === 'users' && found.dump !== undefined ? { ...table, dump: found.dump } : table,
        toldBy: told.toldBy,
        format: withRenames(inFile.format, renamesOf(mapping, name)),
        compression,
        ...(encoding !== undefined && { encoding }),
        columns,
        ...(inFile.types && { types: inFile.types }),
        firstRowByte,
        version: near.version,
      }
      files.push(file)
      // What Heap itself has handed over holds what it says.
      if (table.kind !== 'helper' || table.leftOutBy !== undefined || told.toldBy === 'manifest') continue
      const content = contentOf(near, compression, encoding)
      const { rows } = await formatOf(file).sample({ blob: near, content }, sampledRows)
      const suspicion = suspicionOf(table.name, columns, [...rows])
      if (suspicion) throw new OperatorError(`${path} ${suspicion.what}`, suspicion.hint)
    }
    return { files, notices: [...notices, ...indexNotices(files)], renamed: [...renamed] }
  } catch (error) {
    throw withPath(path, error)
  } finally {
    await near.close()
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

/** What a file is named for, unless the mapping file says it. */
function nameOf(found: FoundFile, mapping: Mapping): NamedTable & { saidBy?: ToldBy } {
  const said = tableSaidOf(mapping, found.path)
  const given = said ?? (found.named ? undefined : found.table)
  if (given === undefined) return found.named ?? nameByPath(found.path)
  const certain = { by: 'name', isNameless: false, isKnown: true } as const
  return { ...certain, table: given, called: given, saidBy: said === undefined ? 'manifest' : 'mapping' }
}

/** Of a file of which nobody has said where it lies: its folder may name it. */
function nameByPath(path: string): NamedTable {
  const [named] = namedTables([path], '')
  if (!named) throw new Error('a path without a name')
  return { ...named, isNameless: false }
}

/** The table of a file: what the mapping says of it, what its content tells, else its name and columns. */
function tableIn(
  path: string,
  named: NamedTable & { saidBy?: ToldBy },
  { table, columns }: TableInFile,
  mapping: Mapping,
): ToldTable {
  if (table) return { table, toldBy: 'content', notices: [] }
  const said = tableSaid(mapping, named.table)
  if (said) return { table: said, toldBy: 'mapping', notices: [] }
  if (named.saidBy) return { table: tableOf(named.table, columns), toldBy: named.saidBy, notices: [] }
  return tableByColumns(path, named, columns)
}

/** JSON names the columns in every row, so its reader has to rename them. */
function withRenames(format: Format, renames: ReadonlyMap<string, string>): Format {
  return isOfKeys(format) && renames.size > 0 ? { ...format, renamed: Object.fromEntries(renames) } : format
}

function isOfKeys(format: Format): format is Extract<Format, { renamed?: unknown }> {
  return format.kind === 'json_lines' || format.kind === 'json_array'
}

async function compressionOfBlob(blob: Blob): Promise<Compression> {
  const magic = Buffer.alloc(Math.min(magicBytes, blob.version.sizeBytes))
  await blob.fill(magic, 0)
  return compressionOf(magic)
}

const magicBytes = 16

async function tablesIn(
  blob: Blob,
  file: Pick<UnknownFile, 'path' | 'compression' | 'table' | 'called' | 'mapping' | 'looking'>,
): Promise<{ tables: TableInFile[]; encoding: TextEncoding | undefined }> {
  const { path, compression, table, mapping } = file
  if (blob.version.sizeBytes === 0) return { tables: [], encoding: undefined }
  const unpacked = contentOf(blob, compression)
  const first = await beginningOf(unpacked, beginningBytes)
  const magic = first.bytes.subarray(0, magicBytes)
  // What the file is cannot be told, and no table has a row so short.
  if (first.damage !== null && magic.length < magicBytes) throw damagedBeforeRows(first.damage)
  if (compression !== 'none') assertNotTwice(path, magic, compression)
  const seen = encodingOf(first.bytes)
  const kind = kindOf(path, seen === undefined ? magic : Buffer.from(new TextDecoder(seen).decode(first.bytes)))
  const said = kind === 'csv' ? csvIn(mapping, table).encoding : undefined
  const encoding = said === 'utf-8' ? undefined : (said ?? seen)
  if (encoding === undefined)
    return { tables: await inspectors[kind]({ ...file, blob, content: unpacked, beginning: first }), encoding }
  const content = contentOf(blob, compression, encoding)
  const beginning = await beginningOf(content, beginningBytes)
  return { tables: await inspectors[kind]({ ...file, blob, content, beginning }), encoding }
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
    `If it is a CSV file without a header, give its columns in the mapping file: tables: { ${table.name}: { columns: [...] } }. ${renaming(table.name, columns)}`,
  )
}
