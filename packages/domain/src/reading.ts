import type { RejectReason } from './conversion.ts'
import type { DeclaredType } from './export.ts'
import type { FoundSession } from './sessions.ts'

/**
 * Column names, lower case. Rows with the same columns share one array, so that converters compile once for it: all rows
 * of a file, but for JSON, where each row has columns of its own.
 */
export type Columns = readonly string[]

/** Text as the export has it, null where it holds nothing (empty, `\N`). In the order of the columns. */
export type Values = readonly (string | null)[]

/** In the order of the columns; nothing where a cell is text. */
export type Types = readonly (DeclaredType | undefined)[]

/** Where a row stands in its file. */
export interface Place {
  /** 1 for the first row after the header. */
  row: number
  /** Where the row, or what it is packed in (a block, a row group), starts: offset in the file, uncompressed and as UTF-8. */
  byte: number
}

export type ReadRow =
  | {
      kind: 'row'
      place: Place
      columns: Columns
      values: Values
      types?: Types | undefined
      /** What was found of its session; undefined where nobody has looked. */
      session?: FoundSession | null | undefined
    }
  | { kind: 'unreadable'; place: Place; reason: RejectReason; detail: string }

/** How far a chunk has been read. Only the reader that issued a cursor may interpret it; it only ever grows. */
export type Cursor = number

/** Where reading goes on. */
export interface Position {
  cursor: Cursor
  /** How many rows of the chunk lie before the cursor: what row numbers are counted from. */
  rows: number
}

/** Some rows of a file, in order, small enough to be held in memory and sent as one batch. */
export interface Slice {
  /** Made as they are asked for, and once: a thousand rows held together cost a worker a tenth of its time. */
  rows: Iterable<ReadRow>
  /** Reading on from here gives exactly the rows that follow. */
  next: Cursor
}

export interface SliceLimits {
  rows: number
  /** Of input. A single row may be larger. */
  bytes: number
}

/** How a chunk is delivered. Looked at before every slice: the pace may have changed. */
export interface DeliveryLimits extends SliceLimits {
  /** Slices of one chunk that may be on their way at once. */
  slicesAtOnce: number
}
