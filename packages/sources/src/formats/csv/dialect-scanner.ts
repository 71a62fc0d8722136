import type { CsvDialect } from '@heapferry/domain'
import { defaultMaxRowBytes, moreBytesNeeded, type RowFinder, type RowSpan } from '../text/row-finder.ts'

const newline = 0x0a
const carriageReturn = 0x0d
const backslash = 0x5c

/** Whether `RowScanner` knows all that the dialect needs: it is several times as fast. */
export function isCommon({ delimiter, escape, lineEnd }: CsvDialect): boolean {
  return escape === undefined && lineEnd === undefined && delimiter.charCodeAt(0) < 0x80
}

/**
 * The rows of CSV with backslashes before what would end a cell, with rows that end at a carriage return alone, or with a
 * delimiter of several bytes; what `RowScanner` says of quotes and broken rows holds here too.
 *
 * - Where cells are quoted a backslash makes text of the byte behind it inside of quotes only: Spark writes `C:\` without
 *   quotes as it is, and Redshift's ADDQUOTES and MySQL's ENCLOSED BY quote all text.
 * - Where nothing is quoted it does so everywhere.
 */
export class DialectScanner implements RowFinder {
  readonly #delimiter: Buffer
  readonly #quote: number
  readonly #lineEnd: number
  readonly #escape: number
  readonly #escapesUnquoted: boolean
  #bytes: Buffer = Buffer.alloc(0)
  readonly maxRowBytes: number

  constructor({ delimiter, quote, escape, lineEnd }: CsvDialect, maxRowBytes = defaultMaxRowBytes) {
    this.maxRowBytes = maxRowBytes
    this.#delimiter = Buffer.from(delimiter)
    this.#quote = quote === '' ? -1 : quote.charCodeAt(0)
    this.#lineEnd = lineEnd === undefined ? newline : carriageReturn
    this.#escape = escape === undefined ? -1 : backslash
    this.#escapesUnquoted = escape !== undefined && quote === ''
  }

  scan(bytes: Buffer): void {
    this.#bytes = bytes
  }

  next(start: number, last: boolean): RowSpan | typeof moreBytesNeeded {
    const bytes = this.#bytes
    const limit = Math.min(bytes.length, start + this.maxRowBytes)
    let state: RowSpan['state'] = 'plain'
    let cellStart = start
    for (let at = start; at < limit; at++) {
      const byte = bytes[at]
      if (byte === this.#lineEnd) return { start, end: at + 1, state }
      if (this.#escapesUnquoted && byte === this.#escape) {
        at++
      } else if (byte === this.#quote && at === cellStart) {
        const close = this.#closingQuote(at, limit)
        if (close === -1) return this.#unclosed(start, last)
        if (!this.#endsCell(close + 1)) return this.#broken(start, last, 'stray_quote')
        state = 'quoted'
        at = close
      } else if (this.#isDelimiter(at)) {
        at += this.#delimiter.length - 1
        cellStart = at + 1
      }
    }
    if (limit === start + this.maxRowBytes) return this.#broken(start, last, 'too_large')
    return last ? { start, end: bytes.length, state } : moreBytesNeeded
  }

  /**
   * A line end, whatever quotes came before: a row that long is broken. One behind a backslash is none where nothing is
   * quoted: read again up to there, as a chunk's end, the row would not look broken.
   */
  skim(start: number): number {
    const bytes = this.#bytes
    if (!this.#escapesUnquoted) return bytes.indexOf(this.#lineEnd, start) + 1 || -1
    for (let at = start; at < bytes.length; at++) {
      if (bytes[at] === this.#escape) at++
      else if (bytes[at] === this.#lineEnd) return at + 1
    }
    return -1
  }

  unfinished(): number {
    if (!this.#escapesUnquoted) return 0
    let backslashes = 0
    while (this.#bytes[this.#bytes.length - 1 - backslashes] === this.#escape) backslashes++
    return backslashes % 2
  }

  #isDelimiter(at: number): boolean {
    const delimiter = this.#delimiter
    for (let nth = 0; nth < delimiter.length; nth++) if (this.#bytes[at + nth] !== delimiter[nth]) return false
    return true
  }

  #closingQuote(open: number, limit: number): number {
    const bytes = this.#bytes
    for (let at = open + 1; at < limit; at++) {
      if (bytes[at] === this.#escape) at++
      else if (bytes[at] === this.#quote) {
        if (bytes[at + 1] !== this.#quote) return at
        at++
      }
    }
    return -1
  }

  #endsCell(after: number): boolean {
    const bytes = this.#bytes
    let at = after
    if (this.#lineEnd === newline) while (bytes[at] === carriageReturn) at++
    return at >= bytes.length || bytes[at] === this.#lineEnd || (at === after && this.#isDelimiterSoFar(at))
  }

  /** Also where the buffer ends within the delimiter: the answer counts only when the row's end has been seen. */
  #isDelimiterSoFar(at: number): boolean {
    const seen = this.#bytes.subarray(at, at + this.#delimiter.length)
    return seen.equals(this.#delimiter.subarray(0, seen.length))
  }

  #unclosed(start: number, last: boolean): RowSpan | typeof moreBytesNeeded {
    const sawEnough = last || this.#bytes.length - start >= this.maxRowBytes
    return sawEnough ? this.#broken(start, last, 'unclosed_quote') : moreBytesNeeded
  }

  #broken(
    start: number,
    last: boolean,
    state: 'unclosed_quote' | 'stray_quote' | 'too_large',
  ): RowSpan | typeof moreBytesNeeded {
    const end = this.skim(start)
    if (end !== -1) return { start, end, state }
    return last ? { start, end: this.#bytes.length, state } : moreBytesNeeded
  }
}
