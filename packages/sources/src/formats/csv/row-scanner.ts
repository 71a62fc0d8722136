import type { CsvDialect } from '@heapferry/domain'
import { defaultMaxRowBytes, moreBytesNeeded, type RowFinder, type RowSpan } from '../text/row-finder.ts'

const newline = 0x0a
const carriageReturn = 0x0d

/**
 * The rows of CSV:
 *
 * - A quote opens a quoted cell only as a cell's first byte, so `5" nail` in an unquoted cell harms nothing.
 * - A quoted cell ends at a quote that a delimiter or a line end follows. Where other text follows, or where no
 *   closing quote comes within the longest row, the row is broken and ends at its first line end: one bad row does not
 *   swallow those after it.
 */
export class RowScanner implements RowFinder {
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

  scan(bytes: Buffer): void {
    this.#bytes = bytes
    this.#nextQuote = -1
  }

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

  /** A line end, whatever quotes came before: a row that long is broken. */
  skim(start: number): number {
    const lineEnd = this.#bytes.indexOf(newline, start)
    return lineEnd === -1 ? -1 : lineEnd + 1
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
    if (bytes[at] !== carriageReturn) return false
    // Text that went through Windows twice ends its lines in \r\r\n.
    let next = at + 1
    while (bytes[next] === carriageReturn) next++
    return next === bytes.length || bytes[next] === newline
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
