import { z } from 'zod'
import { FileId } from './ids.ts'
import { Table } from './table.ts'

/** How the text of a CSV file is to be read. */
export const CsvDialect = z.object({
  delimiter: z.string().length(1),
  /** `''` where the file quotes nothing (Redshift UNLOAD without ADDQUOTES). */
  quote: z.enum(['"', "'", '']),
  /** What stands before a quote, or where nothing is quoted before a delimiter or line end, that is text. */
  escape: z.literal('\\').optional(),
  /** What ends a row, where it is no line feed. */
  lineEnd: z.literal('\r').optional(),
  /** Texts that stand for nothing, beside `\N` and the empty one. */
  nulls: z.array(z.string()).readonly().optional(),
})
export type CsvDialect = z.infer<typeof CsvDialect>

/**
 * Heap's one-time export mixes identify records with events. Each of the two is a table of its own, with the same file
 * behind it, and no row belongs to both.
 */
const records = z.enum(['all', 'identify', 'events'])

/** Of objects, whose keys are the names of columns: the names that the mapping gives some of them, by the key in lower case. */
const renamed = z.record(z.string(), z.string()).optional()

export const Format = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('csv'), ...CsvDialect.shape }),
  /** One object a line. `undoubled`: every backslash is written twice, as PostgreSQL's COPY does. */
  z.object({ kind: z.literal('json_lines'), records, undoubled: z.boolean(), renamed }),
  /** All objects in one array. */
  z.object({ kind: z.literal('json_array'), records, undoubled: z.boolean(), renamed }),
  z.object({ kind: z.literal('avro') }),
  z.object({ kind: z.literal('parquet') }),
])
export type Format = z.infer<typeof Format>

/**
 * What a format itself says of a cell's text, so that it is no text in PostHog either. Whole numbers (`integer`) that a
 * double does not hold stay text; `float` is a number of 32 bits, whose text has more digits than it knows; `json` is a list
 * or an object, and `json_of_floats` one in which there may be such numbers.
 */
export const DeclaredType = z.enum(['integer', 'number', 'float', 'boolean', 'json', 'json_of_floats'])
export type DeclaredType = z.infer<typeof DeclaredType>

/** How the whole file is packed; Avro and Parquet compress inside and count as `none`. */
export const Compression = z.enum(['none', 'gzip', 'zstd', 'bzip2'])
export type Compression = z.infer<typeof Compression>

/** How the text of a file is written; UTF-8 where nothing is said. */
export const TextEncoding = z.enum(['utf-16le', 'utf-16be', 'windows-1252'])
export type TextEncoding = z.infer<typeof TextEncoding>

/** What tells that a file is still the one that was planned. */
export const FileVersion = z.object({
  sizeBytes: z.number().int().nonnegative(),
  /** Changes with the content: a file's time of modification, an S3 object's ETag. */
  mark: z.string(),
  /**
   * Of a local file: a digest of its first, middle and last block, as a file can be replaced by one of the same size and time.
   * An ETag does without, and plans of older versions have none.
   */
  blocks: z.string().optional(),
})
export type FileVersion = z.infer<typeof FileVersion>

/** What tells which table a file belongs to: the folder it lies in, its name, …, or the mapping file. */
export const ToldBy = z.enum(['folder', 'name', 'columns', 'content', 'manifest', 'mapping'])
export type ToldBy = z.infer<typeof ToldBy>

/** What both sides know is the same. */
export function isSameVersion(one: FileVersion, other: FileVersion): boolean {
  const { blocks = other.blocks } = one
  return one.sizeBytes === other.sizeBytes && one.mark === other.mark && blocks === (other.blocks ?? blocks)
}

/** For people. */
export function versionText({ sizeBytes, mark, blocks }: FileVersion): string {
  return `${sizeBytes} bytes (${mark}${blocks === undefined ? '' : `, content ${blocks}`})`
}

/**
 * One file of an export, as the producer found it. The ledger keeps it, chunks only name it: a users table can have
 * hundreds of columns, which would not fit into a job.
 */
export const ExportFile = z.object({
  id: FileId,
  /** Relative to the root of the export, or of the work store, with `/`. */
  path: z.string().min(1),
  /** Where it lies, if heapferry has made it itself; else in the export. */
  in: z.literal('work_store').optional(),
  table: Table,
  /** What has told the table. */
  toldBy: ToldBy.optional(),
  format: Format,
  compression: Compression,
  /** Of what it unpacks to. */
  encoding: TextEncoding.optional(),
  /** Lower case, in the file's order; of JSON those that its first rows have. */
  columns: z.array(z.string()).readonly(),
  /** Of a format that has types, what all values of a column are; of JSON as far as its first rows tell. */
  types: z.array(DeclaredType.nullable()).readonly().optional(),
  /** Where the first row starts, in the uncompressed file as UTF-8: after a byte order mark and a header. */
  firstRowByte: z.number().int().nonnegative(),
  version: FileVersion,
})
export type ExportFile = z.infer<typeof ExportFile>
