/**
 * No event that PostHog takes needs more input than this: its limit is 1 MB of JSON, and CSV at most doubles a quote.
 * A quote that is still open after so many bytes was never closed.
 */
export const defaultMaxRowBytes = 4 * 1024 * 1024

/** One row's bytes, in offsets of the scanned buffer. `end` lies after the line end. */
export interface RowSpan {
  start: number
  end: number
  state:
    | 'plain' // of CSV: no cell is quoted, splitting at the delimiter is enough.
    | 'quoted'
    | 'unclosed_quote'
    | 'stray_quote' // text follows a closing quote.
    | 'too_large'
    | 'blank' // belongs to the file's form (brackets, commas, white space) and is no row.
    | 'damaged' // the file cannot be unpacked any further.
  /** Of a damaged one: what is wrong, and where in the packed file. */
  damage?: string
}

/** The row does not end in the buffer, and more bytes may follow. */
export const moreBytesNeeded = 'more_bytes_needed'

/**
 * Finds where rows end, without parsing them. Producer and workers must agree on every row end, so both use the same
 * finder, and what it answers depends on the row's bytes alone, wherever blocks and chunks begin.
 */
export interface RowFinder {
  readonly maxRowBytes: number
  /** The bytes that the other two look at from now on. */
  scan(bytes: Buffer): void
  /**
   * The row that begins at or behind `start`, which is less than the buffer's length.
   * @param last no bytes follow the buffer
   */
  next(start: number, last: boolean): RowSpan | typeof moreBytesNeeded
  /**
   * Where the row ends that is too large to be held; -1 when it does not end in the buffer. Called with the offset at which
   * the row starts, then with 0 for each of the blocks that follow.
   */
  skim(start: number): number
  /** After skimming in vain: how many bytes at the end of the buffer say something of those that follow; else none. */
  unfinished?(): number
}
