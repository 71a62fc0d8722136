import { defaultMaxRowBytes, moreBytesNeeded, type RowFinder, type RowSpan } from '../text/row-finder.ts'
import {
  closeArray,
  closeObject,
  expectsColon,
  expectsCommaOrEnd,
  expectsKey,
  expectsKeyOrEnd,
  expectsValue,
  expectsValueOrEnd,
  grammar,
  inKey,
  inText,
  nextItem,
  notJson,
  openArray,
  openObject,
} from './element-grammar.ts'
import { isWhiteSpace } from './line-finder.ts'

const newline = 0x0a
const quote = 0x22
const comma = 0x2c
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/** No event is nested so deep; a text that opens brackets without end must not take memory without end. */
const maxDepth = 1000

/** States beside those of the grammar: its end cannot be known, and the next element is looked for. */
const broken = 9
/** Something that is no object stands where an element should. */
const stray = 10

/**
 * The rows of a JSON array: its elements. Brackets, commas and white space between them belong to no row.
 *
 * Where an element breaks JSON's grammar (a quote or a bracket too few or too many), its end cannot be known. It ends where
 * the next element evidently begins:
 *
 * - If it begins a line, at the next line that begins with a `{` and as much white space. No string of JSON holds a line end,
 *   so this is safe wherever the quotes went wrong; and what an element holds is not indented like itself.
 * - If it stands behind something else on its line, at a line that begins with a `{`, or at `},{`. These may also lie inside
 *   of the broken element where it holds a list of objects: rows then, which are rejected for what they lack.
 */
export class ElementFinder implements RowFinder {
  readonly maxRowBytes: number
  readonly #undoubled: boolean
  #bytes: Buffer = Buffer.alloc(0)

  // How far the element has been followed: one that is too large is followed from block to block.
  #state = broken
  #depth = 0
  /** By depth: 1 for an object, 0 for an array. */
  readonly #kinds = new Uint8Array(maxDepth)
  /** Backslashes right before, inside of a string. */
  #backslashes = 0
  /** Bytes since the line began, as long as all of them may stand between elements; else -1. */
  #indent = -1
  #elementIndent = -1
  /** 1 behind `}`, 2 behind `},`, else 0. */
  #closing = 0
  /** Where its last string begins. */
  #stringAt = 0
  #isSkimming = false

  constructor({ undoubled, maxRowBytes = defaultMaxRowBytes }: { undoubled: boolean; maxRowBytes?: number }) {
    this.#undoubled = undoubled
    this.maxRowBytes = maxRowBytes
  }

  scan(bytes: Buffer): void {
    this.#bytes = bytes
  }

  next(start: number, last: boolean): RowSpan | typeof moreBytesNeeded {
    this.#isSkimming = false
    const { length } = this.#bytes
    // What lies before an element counts towards its size. So much of it is passed over by itself.
    const blankEnd = start + Math.ceil(this.maxRowBytes / 2)
    const open = this.#skipBlank(start, Math.min(blankEnd, length))
    if (open === blankEnd || (open === length && last)) return { start, end: open, state: 'blank' }
    if (open === length) return moreBytesNeeded

    const limit = start + this.maxRowBytes
    const near = Math.min(limit, length)
    this.#begin(open)
    let end = this.#follow(open, near)
    if (this.#state === broken || (end === -1 && last && length < limit)) {
      // A string that was not closed goes on to the first quote of the next element, or to the end of the bytes.
      this.#state = broken
      this.#closing = 0
      this.#indent = -1
      end = this.#nextElement(this.#stringAt, near)
    }
    if (end === -1 && !last) return moreBytesNeeded
    if (end === -1 && length >= limit) {
      const farEnd = this.#follow(limit, length)
      return { start, end: farEnd === -1 ? length : farEnd, state: 'too_large' }
    }
    if (this.#state !== broken) return { start: open, end, state: 'plain' }
    // White space before the next element is left to that: it tells how far it is indented.
    end = end === -1 ? length : end
    while (isBlank(this.#bytes[end - 1])) end--
    return { start: open, end, state: 'plain' }
  }

  skim(start: number): number {
    const { length } = this.#bytes
    if (this.#isSkimming) return this.#follow(start, length)
    this.#isSkimming = true
    const open = this.#skipBlank(start, length)
    this.#begin(open)
    return this.#follow(open, length)
  }

  #skipBlank(start: number, end: number): number {
    this.#indent = -1
    for (let at = start; at < end; at++) {
      const byte = this.#bytes[at] ?? 0
      if (!isBlank(byte)) return at
      this.#indent = indentBehind(byte, this.#indent)
    }
    return end
  }

  #begin(open: number): void {
    this.#elementIndent = this.#indent
    this.#state = this.#bytes[open] === openBrace ? expectsValue : stray
    this.#depth = 0
    this.#backslashes = 0
    this.#closing = 0
    this.#stringAt = open
  }

  /**
   * Goes on with the element, up to `end`.
   * @returns where it ends, of a broken one where the next begins; -1 when neither is before `end`
   */
  #follow(start: number, end: number): number {
    if (this.#state === stray) return this.#strayEnd(start, end)
    const at = this.#state === broken ? start : this.#followGrammar(start, end)
    if (this.#state !== broken) return at
    return this.#nextElement(at, end)
  }

  /** @returns behind the element; -1 when it goes on; where it breaks the grammar, which is its state then */
  #followGrammar(start: number, end: number): number {
    const bytes = this.#bytes
    const kinds = this.#kinds
    let state = this.#state
    let depth = this.#depth
    let indent = this.#indent
    let closing = this.#closing
    let at = start
    for (; at < end; at++) {
      if (state >= inText) {
        at = this.#stringEnd(at, end)
        if (at === end) break
        if (bytes[at] === newline) {
          state = broken
          break
        }
        state = state === inKey ? expectsColon : expectsCommaOrEnd
        continue
      }
      const byte = bytes[at] ?? 0
      let step = grammar[state * 256 + byte] ?? notJson
      switch (step) {
        case openObject:
        case openArray:
          if (depth === maxDepth) step = broken
          else {
            kinds[depth++] = step === openObject ? 1 : 0
            step = step === openObject ? expectsKeyOrEnd : expectsValueOrEnd
          }
          break
        case closeObject:
        case closeArray:
          if (kinds[depth - 1] !== (step === closeObject ? 1 : 0)) step = broken
          else if (--depth === 0) {
            this.#state = expectsCommaOrEnd
            return at + 1
          } else step = expectsCommaOrEnd
          break
        case nextItem:
          step = kinds[depth - 1] === 1 ? expectsKey : expectsValue
          break
        case inText:
        case inKey:
          this.#stringAt = at
          break
        case notJson:
          step = broken
      }
      state = step
      if (state === broken) break
      if (byte === closeBrace) closing = 1
      else if (!isWhiteSpace(byte)) closing = byte === comma && closing === 1 ? 2 : 0
      indent = indentBehind(byte, indent)
    }
    this.#state = state
    this.#depth = depth
    this.#indent = indent
    this.#closing = closing
    return state === broken ? at : -1
  }

  /** The quote that ends a string, or a line end, which no string may hold; else `end`. */
  #stringEnd(start: number, end: number): number {
    const bytes = this.#bytes
    let backslashes = this.#backslashes
    for (let at = start; at < end; at++) {
      const byte = bytes[at]
      if ((byte === quote && !this.#isEscaped(backslashes)) || byte === newline) {
        this.#backslashes = 0
        return at
      }
      backslashes = byte === backslash ? backslashes + 1 : 0
    }
    this.#backslashes = backslashes
    return end
  }

  #isEscaped(backslashes: number): boolean {
    return (this.#undoubled ? Math.ceil(backslashes / 2) : backslashes) % 2 === 1
  }

  #nextElement(start: number, end: number): number {
    for (let at = start; at < end; at++) {
      const byte = this.#bytes[at] ?? 0
      if (byte === openBrace && this.#isEvident()) return at
      if (byte === comma) this.#closing = this.#closing === 1 ? 2 : 0
      else if (!isBlank(byte)) this.#closing = byte === closeBrace ? 1 : 0
      this.#indent = indentBehind(byte, this.#indent)
    }
    return -1
  }

  /** Whether a `{` in this place begins an element. */
  #isEvident(): boolean {
    if (this.#elementIndent !== -1) return this.#indent === this.#elementIndent
    return this.#indent !== -1 || this.#closing === 2
  }

  #strayEnd(start: number, end: number): number {
    for (let at = start; at < end; at++) {
      const byte = this.#bytes[at] ?? 0
      if (isBlank(byte) || byte === openBrace) return at
    }
    return -1
  }
}

/** What may stand between elements. */
function isBlank(byte: number | undefined): boolean {
  return isWhiteSpace(byte) || byte === comma || byte === openBracket || byte === closeBracket
}

function indentBehind(byte: number, indent: number): number {
  if (byte === newline) return 0
  return indent !== -1 && isBlank(byte) ? indent + 1 : -1
}
