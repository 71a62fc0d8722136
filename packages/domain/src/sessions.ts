import { z } from 'zod'
import type { Values } from './reading.ts'

/** What the export tells of the session of a row, beside the row. */
export interface FoundSession {
  /** When it began, in milliseconds since 1970; null where no row of `sessions` tells. */
  startMs: number | null
  /** There is a table `sessions`, and the session is not in it. */
  isMissing: boolean
  /** Of the session's row of `sessions`: a null stands for a column that its file does not have, '' for an empty cell. */
  cells: Values | null
  /** Of the last row of `pageviews` in the session at or before the row's time, in the same way. */
  page: Values | null
}

/** A row's session, by its name, and the row's time. */
export interface SessionAsk {
  name: string
  timeMs: number
}

/** The sessions of an export, and where wanted its pageviews, to be asked for many rows at once. */
export interface SessionIndex {
  /** In the order of what is asked; null where nothing was asked. @throws OperatorError where the index cannot be read */
  find(asks: readonly (SessionAsk | null)[]): Promise<(FoundSession | null)[]>
  close(): Promise<void>
}

/** Which index of sessions a run was begun with, and from what. Both SHA-256 in hex. */
export const SessionsRecord = z.object({
  /** Of what the index holds; null where the export has no table for one. */
  content: z.string().nullable(),
  /** Of the names and versions of the files that it was made from. */
  files: z.string(),
})
export type SessionsRecord = z.infer<typeof SessionsRecord>
