import { createHash } from 'node:crypto'
import { OperatorError } from '@heapferry/domain'
import { z } from 'zod'
import type { ExportPlace } from '../places/open-place.ts'
import { readBytes } from '../places/read-bytes.ts'
import { WarehouseColumn, Window } from './warehouse.ts'

const Count = z.number().int().nonnegative()

/** A file that is whole: nobody reads its rows in the warehouse again. */
const StagedPart = z.object({
  /** Relative to the stage, or to the bucket, with `/`. */
  path: z.string(),
  rows: Count,
  bytes: Count,
})
export type StagedPart = z.infer<typeof StagedPart>

const StagedWindow = z.object({
  window: Window,
  /** As it was counted when the table was planned. */
  expected: Count,
  /** When it was begun to be read, for people; in ms since 1970. */
  readAtMs: z.number().int().optional(),
  /** Its files, once it is sealed. */
  parts: z.array(StagedPart).nullable(),
})

const StagedTable = z.object({
  /** As the run calls it. */
  table: z.string(),
  /** As the warehouse calls it. */
  relation: z.string(),
  columns: z.array(WarehouseColumn),
  windows: z.array(StagedWindow),
  /** The query whose result is read, where it is one; there is no result yet as long as the window is all of the table. */
  query: z.uuid().optional(),
  /** Where the warehouse writes into a bucket: the number of the folder that it was last told to write into. */
  attempt: Count.optional(),
  /** The statement that writes there, as warehouses know it whose statements take names; none where it is of no use any more. */
  statement: z.uuid().optional(),
  /** What the warehouse calls it, where it has names of its own. */
  handle: z.string().optional(),
})
export type StagedTable = z.infer<typeof StagedTable>

/**
 * What was unloaded of a warehouse, and what is to be: `stage.json`, beside the files. It has the address, never a secret.
 * It is the only state of unloading, and is written after every window, whole or not at all.
 */
export const Stage = z.object({
  version: z.literal(1),
  address: z.string(),
  /** Where the files are, if not beside it: `s3://bucket/prefix` or `gs://bucket/prefix`, into which the warehouse writes itself. */
  bucket: z.string().optional(),
  /** In the order in which they are unloaded. */
  tables: z.array(StagedTable),
  /** Tables of which nothing is unloaded, with their columns as the mapping calls them. */
  leftOut: z.array(z.object({ table: z.string(), columns: z.array(z.string()) })).default([]),
  /** What is not unloaded, and what else was found, for the user. */
  notices: z.array(z.string()),
  /** SHA-256 of what Heap says about its last sync; null where there is no such table. */
  synced: z.string().nullable(),
})
export type Stage = z.infer<typeof Stage>

/** Where files of a table are. A name in a warehouse may hold any sign. */
export function folderOf(table: string): string {
  if (/^[a-z0-9_]{1,100}$/.test(table)) return table
  const hash = createHash('sha256').update(table).digest('hex').slice(0, 8)
  return `${table.replaceAll(/[^a-z0-9_]+/g, '-').slice(0, 100)}-${hash}`
}

const stagePath = 'stage.json'

/** Null where nothing was begun. */
export async function readStage(place: ExportPlace): Promise<Stage | null> {
  if (!(await isThere(place))) return null
  const bytes = await readBytes(place, stagePath)
  try {
    return Stage.parse(JSON.parse(bytes.toString('utf8')))
  } catch (cause) {
    throw new OperatorError(
      `${stagePath} in ${place.root} is damaged, or of another version of heapferry`,
      'Use the version that began the run, or start another run with --run NAME: no event is doubled.',
      { cause },
    )
  }
}

export async function putStage(place: ExportPlace, stage: Stage): Promise<void> {
  await place.put(stagePath, [Buffer.from(JSON.stringify(stage))])
}

async function isThere(place: ExportPlace): Promise<boolean> {
  try {
    return (await place.list()).includes(stagePath)
  } catch (error) {
    // Anything else that cannot be read must not look like what is not there: all would be unloaded again.
    const { cause } = error instanceof OperatorError ? error : {}
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return false
    throw error
  }
}
