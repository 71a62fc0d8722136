import type { WarehouseRow } from '../warehouse.ts'

/** Takes the rows of an answer as they come. */
export interface TakeRows {
  /** Before the first of them, and again where they are asked for anew from their beginning. */
  onStart(): void
  onRows(rows: WarehouseRow[]): Promise<void>
}

const quote = 0x22
const comma = 0x2c
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/**
 * Reads an answer of the SQL API while it comes: hands on the rows of its `data`, of which there are tens of megabytes and
 * never all at once.
 * @returns the rest of it, in which `data` is empty
 * @throws NoAnswer when it is not whole, no JSON, or has rows of anything but text; some of them were handed on by then
 */
export async function readAnswer(
  chunks: AsyncIterable<Buffer>,
  onRows: (rows: WarehouseRow[]) => Promise<void>,
): Promise<unknown> {
  const scanner = new RowScanner()
  const rest: Buffer[] = []
  /** Of a row that has not ended, or of what is none. */
  let open: Buffer[] = []
  let isFirst = true
  for await (const chunk of chunks) {
    const { begin, rowEnd } = scanner.scan(chunk)
    let from = 0
    if (begin !== -1) {
      rest.push(...open, chunk.subarray(0, begin))
      open = []
      from = begin
    }
    if (rowEnd !== -1) {
      const text = Buffer.concat([...open, chunk.subarray(from, rowEnd)]).toString('utf8')
      open = []
      from = rowEnd
      await onRows(rowsIn(text, isFirst))
      isFirst = false
    }
    open.push(chunk.subarray(from))
  }
  return parsed(Buffer.concat([...rest, ...open]).toString('utf8'))
}

/** An answer is not what the SQL API answers. */
export class NoAnswer extends Error {
  override name = 'NoAnswer'
}

/**
 * By hand, and not by JSON.parse, which keeps every text of up to ten signs until all memory is collected: 40 MB of ids,
 * measured.
 * @param isFirst whether no comma stands before the first of them
 */
function rowsIn(text: string, isFirst: boolean): WarehouseRow[] {
  const rows: WarehouseRow[] = []
  let at = 0

  /** Passes white space, and one sign more; NaN at the end. */
  function next(): number {
    for (;;) {
      const sign = text.charCodeAt(at++)
      if (sign !== 0x20 && sign !== 0x0a && sign !== 0x0d && sign !== 0x09) return sign
    }
  }

  function cell(sign: number): string | null {
    if (sign === quote) {
      const start = at
      let isEscaped = false
      for (let end = start; end < text.length; end++) {
        const code = text.charCodeAt(end)
        if (code === quote) {
          at = end + 1
          return isEscaped ? String(parsed(text.slice(start - 1, at))) : text.slice(start, end)
        }
        // As JSON has it: such signs are escaped.
        if (code < 0x20) break
        if (code !== backslash) continue
        isEscaped = true
        end++
      }
    }
    if (!text.startsWith('null', at - 1)) throw new NoAnswer('it has rows of anything but text')
    at += 3
    return null
  }

  for (let sign = next(); !Number.isNaN(sign); sign = next()) {
    if (!isFirst || rows.length > 0) {
      assertIs(sign, comma)
      sign = next()
    }
    assertIs(sign, openBracket)
    const row: (string | null)[] = []
    sign = next()
    if (sign !== closeBracket) {
      row.push(cell(sign))
      for (sign = next(); sign !== closeBracket; sign = next()) {
        assertIs(sign, comma)
        row.push(cell(next()))
      }
    }
    rows.push(row)
  }
  return rows
}

function assertIs(sign: number, expected: number): void {
  if (sign !== expected) throw new NoAnswer('it is no list of rows of text')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new NoAnswer('it is no JSON', { cause })
  }
}

/** Finds where rows end, by brackets and quotes alone: whether all of it is JSON is told when it is parsed. */
class RowScanner {
  #depth = 0
  #isInText = false
  #isEscaped = false
  /** The last text of the answer itself: before a bracket, the key of what the bracket opens. */
  #key = ''
  #place: 'before' | 'rows' | 'after' = 'before'

  /** @returns where rows begin in this chunk, and behind the last one that ends in it; -1 where there is no such place */
  scan(chunk: Buffer): { begin: number; rowEnd: number } {
    let begin = -1
    let rowEnd = -1
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      if (this.#isInText) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (byte === backslash) this.#isEscaped = true
        else if (byte === quote) {
          this.#isInText = false
          continue
        }
        if (this.#depth === 1) this.#key += String.fromCharCode(byte)
        continue
      }
      switch (byte) {
        case quote:
          this.#isInText = true
          if (this.#depth === 1) this.#key = ''
          break
        case openBracket:
        case openBrace:
          if (++this.#depth === 2 && byte === openBracket && this.#key === 'data' && this.#place === 'before') {
            this.#place = 'rows'
            begin = at + 1
          }
          break
        case closeBracket:
        case closeBrace:
          this.#depth--
          if (this.#place !== 'rows') break
          if (this.#depth === 2) rowEnd = at + 1
          else if (this.#depth < 2) this.#place = 'after'
      }
    }
    return { begin, rowEnd }
  }
}
