import type { CsvDialect } from '@heapferry/domain'

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
    | 'plain' // no cell is quoted: splitting at the delimiter is enough.
    | 'quoted'
    | 'unclosed_quote'
    | 'stray_quote' // text follows a closing quote.
    | 'too_large'
}

/** The row does not end in the buffer, and more bytes may follow. */
export const moreBytesNeeded = 'more_bytes_needed'

const newline = 0x0a
const carriageReturn = 0x0d

/**
 * Finds where rows end, without parsing them. Producer and workers must agree on every row end, so both use this one
 * function, and what it answers depends on the bytes of the row alone:
 *
 * - A quote opens a quoted cell only as a cell's first byte, so `5" nail` in an unquoted cell harms nothing.
 * - A quoted cell ends at a quote that a delimiter or a line end follows. Where other text follows, or where no
 *   closing quote comes within the longest row, the row is broken and ends at its first line end: one bad row does not
 *   swallow those after it.
 */
export class RowScanner {
  readonly #delimiter: number
  readonly #quote: number
  /** The next quote at or after the last row's start: most rows hold none, and a native search passes them quickly. */
  #nextQuote = -1
  #bytes: Buffer = Buffer.alloc(0)
  readonly maxRowBytes: number

  constructor(dialect: CsvDialect, maxRowBytes = defaultMaxRowBytes) {
    this.maxRowBytes = maxRowBytes
    this.#delimiter = dialect.delimiter.charCodeAt(0)
    this.#quote = dialect.quote === '' ? -1 : dialect.quote.charCodeAt(0)
  }

  /** The bytes that `next` looks at from now on. */
  scan(bytes: Buffer): void {
    this.#bytes = bytes
    this.#nextQuote = -1
  }

  /** The row that starts at `start` (which is less than the buffer's length). `last`: no bytes follow the buffer. */
  next(start: number, last: boolean): RowSpan | typeof moreBytesNeeded {
    const bytes = this.#bytes
    const lineEnd = bytes.indexOf(newline, start)
    const firstEnd = lineEnd === -1 ? bytes.length : lineEnd + 1
    if (this.#quoteFrom(start) >= firstEnd) {
      if (lineEnd === -1 && !last) return moreBytesNeeded
      return { start, end: firstEnd, state: firstEnd - start > this.maxRowBytes ? 'too_large' : 'plain' }
    }
    return this.#nextWithQuotes(start, lineEnd, last)
  }

  #nextWithQuotes(start: number, lineEnd: number, last: boolean): RowSpan | typeof moreBytesNeeded {
    const bytes = this.#bytes
    const delimiter = this.#delimiter
    const quote = this.#quote
    const limit = Math.min(bytes.length, start + this.maxRowBytes)
    let state: RowSpan['state'] = 'plain'
    let cellStart = start
    for (let at = start; at < limit; at++) {
      const byte = bytes[at]
      if (byte === newline) return { start, end: at + 1, state }
      if (byte === delimiter) cellStart = at + 1
      else if (byte === quote && at === cellStart) {
        const close = this.#closingQuote(at, limit)
        if (close === -1) return this.#unclosed(start, lineEnd, last)
        const after = close + 1
        if (!this.#endsCell(after)) return this.#broken(start, lineEnd, last, 'stray_quote')
        state = 'quoted'
        at = close
      }
    }
    if (limit === start + this.maxRowBytes) return this.#broken(start, lineEnd, last, 'too_large')
    return last ? { start, end: bytes.length, state } : moreBytesNeeded
  }

  #closingQuote(open: number, limit: number): number {
    const bytes = this.#bytes
    const quote = this.#quote
    for (let at = open + 1; at < limit; at++) {
      if (bytes[at] !== quote) continue
      if (bytes[at + 1] !== quote) return at
      at++
    }
    return -1
  }

  #endsCell(at: number): boolean {
    const bytes = this.#bytes
    if (at === bytes.length || bytes[at] === this.#delimiter || bytes[at] === newline) return true
    return bytes[at] === carriageReturn && (at + 1 === bytes.length || bytes[at + 1] === newline)
  }

  #unclosed(start: number, lineEnd: number, last: boolean): RowSpan | typeof moreBytesNeeded {
    const sawEnough = last || this.#bytes.length - start >= this.maxRowBytes
    return sawEnough ? this.#broken(start, lineEnd, last, 'unclosed_quote') : moreBytesNeeded
  }

  #broken(
    start: number,
    lineEnd: number,
    last: boolean,
    state: 'unclosed_quote' | 'stray_quote' | 'too_large',
  ): RowSpan | typeof moreBytesNeeded {
    if (lineEnd !== -1) return { start, end: lineEnd + 1, state }
    return last ? { start, end: this.#bytes.length, state } : moreBytesNeeded
  }

  #quoteFrom(start: number): number {
    if (this.#quote === -1) return Number.POSITIVE_INFINITY
    if (this.#nextQuote < start) {
      const found = this.#bytes.indexOf(this.#quote, start)
      this.#nextQuote = found === -1 ? Number.POSITIVE_INFINITY : found
    }
    return this.#nextQuote
  }
}
