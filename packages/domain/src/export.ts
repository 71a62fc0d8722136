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

export const Format = z.discriminatedUnion('kind', [z.object({ kind: z.literal('csv'), ...CsvDialect.shape })])
export type Format = z.infer<typeof Format>

/** What tells that a file is still the one that was planned. */
export const FileVersion = z.object({ sizeBytes: z.number().int().nonnegative(), mtimeMs: z.number() })
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
  /** Lower case, in the file's order. */
  columns: z.array(z.string()).readonly(),
  /** Where the first row starts: after a byte order mark and a header. */
  firstRowByte: z.number().int().nonnegative(),
  version: FileVersion,
})
export type ExportFile = z.infer<typeof ExportFile>
