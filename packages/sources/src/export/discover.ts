import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { OperatorError, isSlowPattern } from '@heapferry/domain'
import picomatch from 'picomatch'
import { glob, isDynamicPattern } from 'tinyglobby'
import { type ExportPlace, isBucket, openPlace, type S3Options } from '../places/open-place.ts'
import { dumpsOf, type PlannedWith } from './dumps.ts'
import { type NamedTable, namedTables } from './table-name.ts'

/** A file of an export. */
export interface FoundFile {
  /** Relative to the place's root, with `/`. */
  path: string
  /** Where something else than the file's own path tells which table it holds: its neighbours, a dump's manifest. */
  table?: string
  /** What its path, and those of its neighbours, tell of that. */
  named?: NamedTable
  /** Of Heap Connect for S3: the dump that the file came in. */
  dump?: number
}

/** What a SOURCE holds. */
export interface Discovery {
  place: ExportPlace
  files: FoundFile[]
  /** What was found and is left out, for the user: notes, checksums, dumps that are not complete. */
  notices: string[]
  /** Of Heap Connect for S3: the last dump of those that count. */
  newestDump?: number
}

const data =
  'csv|tsv|psv|txt|text|dat|json|jsonl|ndjson|avro|parquet|parq|pq|jsoneachrow|(?:csv|tsv|tabseparated)withnames|tabseparated'
const packed = 'gz|gzip|zst|zstd|bz2'
// Beam and browsers put something behind that; what only ends in .part is a download that was broken off.
const behind = String.raw`(?:-\d+-of-\d+| ?\(\d+\)| - copy)?`
const tableFile = new RegExp(
  `(?:\\.(?:${data}|${packed})${behind}|^[^.]+|_part_\\d+|\\.\\d+|(?:^|\\.)\\d+\\.part)$`,
  'i',
)
const otherData = /\.(?:zip|xz|7z|tar|tgz|lz4|br|orc|xlsx?|sql|db)$|\.tar\.\w+$/i
// Notes that writers leave beside the data: success markers, manifests, checksums, what an editor or a desktop adds.
const note =
  /^(?:_SUCCESS|_metadata|_common_metadata|_committed_.*|_started_.*|.*_\$folder\$|[^.]*manifest|.*[._-]manifest|.*\.(?:md|crc|csv\.metadata|md5|sha256|log|html|pdf|yaml|yml)|Thumbs\.db|readme(?:\.txt)?|licen[cs]e(?:\.txt)?)$/i
// Hidden files, and what a writer did not finish.
const hidden = /(?:^|\/)(?:\.|_temporary\/)/

/**
 * The files of a SOURCE: a file, a folder with everything below it, or a glob, of this machine or of a bucket.
 * @throws OperatorError when there is nothing to read, or something that cannot be read and must not be left out silently
 */
export async function discover(
  source: string,
  s3: S3Options,
  plannedWith: PlannedWith = async () => undefined,
): Promise<Discovery> {
  if (isBucket(source)) return discoverInBucket(source, s3, plannedWith)
  const found = await stat(source).catch(() => null)
  if (!found && isDynamicPattern(source)) return ofGlob(assertQuick(source), s3)
  if (!found) {
    throw new OperatorError(
      `${source}: no such file or folder`,
      'Give the path of a file of a table, of a folder with such files, a glob in quotes such as "export/*.csv", s3://bucket/prefix or gs://bucket/prefix.',
    )
  }
  if (!found.isDirectory()) {
    const file = await realpath(source)
    const place = await openPlace(path.dirname(file), s3)
    return { place, files: filesAt(place, [path.basename(file)]), notices: [] }
  }
  const place = await openPlace(await realpath(source), s3)
  return choose(source, place, await place.list(), plannedWith)
}

function assertQuick(pattern: string): string {
  if (!isSlowPattern(pattern)) return pattern
  throw new OperatorError(
    `${pattern}: a name of it has more than three *, and to match them could take for ever`,
    'Give a folder, or a glob with fewer stars.',
  )
}

async function ofGlob(pattern: string, s3: S3Options): Promise<Discovery> {
  const files = await glob(pattern, { absolute: true, onlyFiles: true, expandDirectories: false })
  const [first] = files
  if (first === undefined) throw matchesNothing(pattern)
  const root = await realpath(
    files.reduce((common, file) => commonFolder(common, path.dirname(file)), path.dirname(first)),
  )
  // The user has chosen these files one by one: none is taken for a note.
  const paths = files.map((file) => path.relative(root, file).split(path.sep).join('/')).toSorted()
  const place = await openPlace(root, s3)
  return { place, files: filesAt(place, paths), notices: [] }
}

/** A key may hold any sign, so an address is taken as it stands before it is taken for a glob. */
async function discoverInBucket(source: string, s3: S3Options, plannedWith: PlannedWith): Promise<Discovery> {
  const place = await openPlace(source, s3)
  const found = await place.list()
  if (found.length > 0 || isWholeBucket(place.root)) return choose(source, place, found, plannedWith)
  place.close()
  try {
    return await ofObject(place.root, s3)
  } catch (error) {
    if (error instanceof OperatorError && isDynamicPattern(source)) return ofBucketGlob(assertQuick(source), s3)
    throw error
  }
}

async function ofBucketGlob(pattern: string, s3: S3Options): Promise<Discovery> {
  const parts = pattern.split('/')
  const fixed = parts.findIndex((part) => isDynamicPattern(part))
  const place = await openPlace(parts.slice(0, fixed).join('/'), s3)
  const matches = picomatch(parts.slice(fixed).join('/'))
  const paths = (await place.list()).filter((file) => matches(file))
  if (paths.length === 0) throw matchesNothing(pattern)
  return { place, files: filesAt(place, paths), notices: [] }
}

async function ofObject(address: string, s3: S3Options): Promise<Discovery> {
  const file = path.posix.basename(address)
  const place = await openPlace(address.slice(0, -file.length - 1), s3)
  const object = await place.open(file)
  await object.close()
  return { place, files: filesAt(place, [file]), notices: [] }
}

async function choose(
  source: string,
  place: ExportPlace,
  paths: readonly string[],
  plannedWith: PlannedWith,
): Promise<Discovery> {
  const dumps = await dumpsOf(place, paths, plannedWith)
  if (dumps) return { place, ...dumps }
  assertNoLakeTable(source, paths)
  const ignored = paths.filter((file) => hidden.test(file) || note.test(path.posix.basename(file)))
  const left = new Set(ignored)
  const tables = paths.filter((file) => !left.has(file))
  const unreadable = tables.filter((file) => otherData.test(file) || !tableFile.test(path.posix.basename(file)))
  if (unreadable.length > 0) {
    throw new OperatorError(
      `${source} holds ${unreadable.length} files of a kind that cannot be read: ${shortened(unreadable)}`,
      'Unload them as CSV, JSON lines, Avro or Parquet, or give a glob of the files to migrate, such as "export/*.csv". Nothing is left out silently.',
    )
  }
  if (tables.length === 0) {
    throw new OperatorError(
      `${source} holds no table`,
      'Expected files of tables, such as pageviews.csv or users.parquet.',
    )
  }
  return { place, files: filesAt(place, tables), notices: notesOf(ignored) }
}

function filesAt({ root }: ExportPlace, paths: readonly string[]): FoundFile[] {
  // A bucket is not named for a table, a folder may be.
  const folder = isWholeBucket(root) ? '' : path.posix.basename(root)
  const tables = namedTables(paths, folder)
  return paths.map((file, index) => {
    const named = tables[index]
    return { path: file, ...(named && { table: named.table, named }) }
  })
}

function isWholeBucket(root: string): boolean {
  return /^(?:s3|gs):\/\/[^/]+$/.test(root)
}

// A checksum beside each of ten thousand files need not be read one by one.
const namedNotes = 20

function notesOf(ignored: readonly string[]): string[] {
  const more = ignored.length - namedNotes
  return [
    ...ignored.slice(0, namedNotes).map((file) => `${file} is not a table by its name and is left out`),
    ...(more > 0 ? [`${more} more files are not tables by their names and are left out`] : []),
  ]
}

/** Tables of which only their own log knows which files count; the others hold rows that were deleted or replaced. */
const lakeTables = [
  { kind: 'a Delta table', log: /(?:^|\/)_delta_log\//, reader: 'spark.read.format("delta").load(TABLE)' },
  {
    kind: 'a Hudi table',
    // Its files are named for a group, the task that wrote them, and the moment: one group has several versions.
    log: /(?:^|\/)(?:\.hoodie(?:\/|_partition_metadata)|[0-9a-f-]{36}-\d+_\d+-\d+-\d+_\d{14,17}\.parquet$)/,
    reader: 'spark.read.format("hudi").load(TABLE)',
  },
  {
    kind: 'an Iceberg table',
    log: /(?:^|\/)metadata\/[^/]+\.metadata\.json(?:\.gz)?$/,
    reader: 'spark.table("CATALOG.TABLE")',
  },
  { kind: 'an Iceberg table', log: /(?:^|\/)metadata\/snap-[^/]+\.avro$/, reader: 'spark.table("CATALOG.TABLE")' },
]

function assertNoLakeTable(source: string, paths: readonly string[]): void {
  for (const { kind, log, reader } of lakeTables) {
    const found = paths.find((file) => log.test(file))
    if (found === undefined) continue
    throw new OperatorError(
      `${source} holds ${kind} (${path.posix.dirname(found)}), whose files also have rows that were deleted or replaced`,
      `Write its present rows out as Parquet and migrate those: in Spark ${reader}.write.parquet(FOLDER).`,
    )
  }
}

function matchesNothing(pattern: string): OperatorError {
  return new OperatorError(
    `${pattern} matches no file`,
    'Check the pattern; quote it so that the shell leaves it alone.',
  )
}

function shortened(files: readonly string[]): string {
  const shown = files.toSorted().slice(0, 5).join(', ')
  return files.length > 5 ? `${shown} and ${files.length - 5} more` : shown
}

function commonFolder(a: string, b: string): string {
  const left = a.split(path.sep)
  const right = b.split(path.sep)
  const same = left.findIndex((part, index) => part !== right[index])
  return (same === -1 ? left : left.slice(0, same)).join(path.sep) || path.sep
}
