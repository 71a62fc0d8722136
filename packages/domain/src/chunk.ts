import { z } from 'zod'
import { ChunkId, FileId, RunId } from './ids.ts'
import type { ReadRow } from './reading.ts'

const Offset = z.number().int().nonnegative()

/** The part of a file that a chunk covers. Chunks of a file tile it: no gap, no overlap. */
export const Range = z.discriminatedUnion('kind', [
  /** Bytes `start` (inclusive) to `end` (exclusive) of the file; both fall on row ends. */
  z.object({ kind: z.literal('bytes'), start: Offset, end: Offset }),
  /** Rows `start` (inclusive) to `end` (exclusive), counted from 0: the row groups of Parquet. */
  z.object({ kind: z.literal('rows'), start: Offset, end: Offset }),
  /** All of a compressed file: nothing in the middle can be reached without what lies before it. */
  z.object({ kind: z.literal('whole') }),
])
export type Range = z.infer<typeof Range>

/** A piece of one file: what one worker takes at a time. It names a place and carries no row. */
export const Chunk = z
  .object({
    id: ChunkId,
    run: RunId,
    file: FileId,
    range: Range,
    /** Number of the chunk's first row in its file; the first row of a file is 1, a header is not counted. */
    firstRow: z.number().int().positive(),
    rows: z.number().int().nonnegative(),
    /** Days since 1970-01-01 (UTC) of the chunk's first readable time; null where no row of the chunk's start has one. */
    day: z.number().int().nullable(),
  })
  .refine(({ id, file }) => id.startsWith(file), 'the id of a chunk begins with that of its file')
export type Chunk = z.infer<typeof Chunk>

/** What tells where to read: of a chunk, or of any other part of a file. */
export type Piece = Pick<Chunk, 'range' | 'firstRow'>

/** A piece of a file as the producer cuts it: what a chunk is made from. */
export interface Cut extends Piece {
  rows: number
  first: ReadRow | null
}
