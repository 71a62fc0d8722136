import { defaultMaxRowBytes, moreBytesNeeded, type RowFinder, type RowSpan } from '../text/row-finder.ts'

const newline = 0x0a

/** The rows of JSON lines: JSON has no line end inside of a value, so that every line end is the end of a row. */
export class LineFinder implements RowFinder {
  readonly maxRowBytes: number
  #bytes: Buffer = Buffer.alloc(0)

  constructor(maxRowBytes = defaultMaxRowBytes) {
    this.maxRowBytes = maxRowBytes
  }

  scan(bytes: Buffer): void {
    this.#bytes = bytes
  }

  next(start: number, last: boolean): RowSpan | typeof moreBytesNeeded {
    const bytes = this.#bytes
    const lineEnd = bytes.indexOf(newline, start)
    if (lineEnd === -1 && !last) return moreBytesNeeded
    const end = lineEnd === -1 ? bytes.length : lineEnd + 1
    // A line of exactly the longest length is known to be no longer only by its line end.
    const isTooLarge = end - start > this.maxRowBytes || (lineEnd === -1 && end - start === this.maxRowBytes)
    if (isTooLarge) return { start, end, state: 'too_large' }
    return { start, end, state: this.#isBlank(start, end) ? 'blank' : 'plain' }
  }

  skim(start: number): number {
    return this.#bytes.indexOf(newline, start) + 1 || -1
  }

  #isBlank(start: number, end: number): boolean {
    for (let at = start; at < end; at++) if (!isWhiteSpace(this.#bytes[at])) return false
    return true
  }
}

/** As JSON has it. */
export function isWhiteSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === newline || byte === 0x0d || byte === 0x09
}
