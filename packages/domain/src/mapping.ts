import { z } from 'zod'
import { type Table, tableOf } from './table.ts'

/**
 * The mapping file. Everything in it can change what is sent, so its fingerprint belongs to the run.
 * Unknown keys are faults: a misspelt one would otherwise do nothing, silently.
 */
export const Mapping = z.strictObject({
  /** Whether the current properties of `users` may overwrite what a project already holds. */
  persons: z.enum(['set', 'set_once', 'skip']).default('set'),
  /** How CSV files are written where the file itself does not tell. */
  csv: z
    .strictObject({
      delimiter: z
        .string()
        .regex(/^[\t\x20-\x7e]$/, 'expected one character')
        .refine((text) => text !== '"', 'a quote cannot be the delimiter')
        .optional(),
      quote: z.union([z.literal('"'), z.literal('')]).optional(),
    })
    .default({}),
  /**
   * Whether backslashes of JSON files are written twice, as PostgreSQL's COPY does: found out for each file of Heap's
   * one-time export, or said. A row that is only so to be read is read so in any case.
   */
  json: z.strictObject({ undouble: z.enum(['auto', 'always', 'never']).default('auto') }).prefault({}),
  /** By table name, lower case. */
  tables: z
    .record(
      z.string().regex(/^[^A-Z]+$/, 'expected a lower-case table name'),
      z.strictObject({
        /** The event's name in PostHog; else the table's name. */
        event: z.string().min(1).optional(),
        /** The columns of a file without a header, in order. */
        columns: z.array(z.string().min(1)).min(1).optional(),
        /** What the files of the table hold, where their name and columns do not tell it or tell it wrongly. */
        kind: z.enum(['users', 'user_migrations', 'sessions', 'pageviews', 'event', 'raw_events']).optional(),
      }),
    )
    .default({}),
})
export type Mapping = z.infer<typeof Mapping>

export const defaultMapping: Mapping = Mapping.parse({})

/** The table that a file of this name with these columns holds. */
export function tableIn(mapping: Mapping, name: string, columns: readonly string[]): Table {
  const kind = mapping.tables[name]?.kind
  return kind ? { kind, name } : tableOf(name, columns)
}
