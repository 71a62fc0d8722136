import { z } from 'zod'
import { FileId } from './ids.ts'
import { Table } from './table.ts'

/** How the text of a CSV file is to be read. */
export const CsvDialect = z.object({
  delimiter: z.string().length(1),
  /** `''` where the file quotes nothing (Redshift UNLOAD without ADDQUOTES). */
  quote: z.union([z.literal('"'), z.literal('')]),
})
export type CsvDialect = z.infer<typeof CsvDialect>

/**
 * Heap's one-time export mixes identify records with events. Each of the two is a table of its own, with the same file
 * behind it, and no row belongs to both.
 */
const records = z.enum(['all', 'identify', 'events'])

export const Format = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('csv'), ...CsvDialect.shape }),
  /** One object a line. `undoubled`: every backslash is written twice, as PostgreSQL's COPY does. */
  z.object({ kind: z.literal('json_lines'), records, undoubled: z.boolean() }),
  /** All objects in one array. */
  z.object({ kind: z.literal('json_array'), records, undoubled: z.boolean() }),
  z.object({ kind: z.literal('avro') }),
  z.object({ kind: z.literal('parquet') }),
])
export type Format = z.infer<typeof Format>

/**
 * What a format itself says of a cell's text, so that it is no text in PostHog either. Whole numbers (`integer`) that a
 * double does not hold stay text; `float` is a number of 32 bits, whose text has more digits than it knows; `json` is a list
 * or an object.
 */
export const DeclaredType = z.enum(['integer', 'number', 'float', 'boolean', 'json'])
export type DeclaredType = z.infer<typeof DeclaredType>

/** How the whole file is packed; Avro and Parquet compress inside and count as `none`. */
export const Compression = z.enum(['none', 'gzip', 'zstd', 'bzip2'])
export type Compression = z.infer<typeof Compression>

/** What tells that a file is still the one that was planned. */
export const FileVersion = z.object({
  sizeBytes: z.number().int().nonnegative(),
  /** Changes with the content: a file's time of modification, an S3 object's ETag. */
  mark: z.string(),
})
export type FileVersion = z.infer<typeof FileVersion>

/**
 * One file of an export, as the producer found it. The ledger keeps it, chunks only name it: a users table can have
 * hundreds of columns, which would not fit into a job.
 */
export const ExportFile = z.object({
  id: FileId,
  /** Relative to the export's root, with `/`. */
  path: z.string().min(1),
  table: Table,
  format: Format,
  compression: Compression,
  /** Lower case, in the file's order; of JSON those that its first rows have. */
  columns: z.array(z.string()).readonly(),
  /** Of a format that has types, what all values of a column are; of JSON as far as its first rows tell. */
  types: z.array(DeclaredType.nullable()).readonly().optional(),
  /** Where the first row starts, in the uncompressed file: after a byte order mark and a header. */
  firstRowByte: z.number().int().nonnegative(),
  version: FileVersion,
})
export type ExportFile = z.infer<typeof ExportFile>
