import type { Columns, ReadRow, Types, Values } from '@heapferry/domain'
import { DamagedContent } from '../../unpacking/damaged-content.ts'
import { AvroBytes, Undecodable } from './avro-bytes.ts'
import { declaredType } from './compile-schema.ts'
import type { Container } from './read-container.ts'
import type { Block } from './scan-blocks.ts'

export async function openBlock(
  block: Block,
  container: Container,
  firstRow: number,
  columns: Columns,
): Promise<BlockRows> {
  return new BlockRows(await unpackedOf(block, container), block, container, firstRow, columns)
}

/** A block's bytes, or why there are none. */
async function unpackedOf(block: Block, { unpack }: Container): Promise<Buffer | string> {
  if (block.kind === 'damaged') return block.detail
  try {
    return await unpack(block.data)
  } catch (error) {
    if (!(error instanceof DamagedContent)) throw error
    return `its block cannot be unpacked: ${error.message}`
  }
}

/**
 * The rows of one block: as many as it claims, whatever its bytes are. Where one begins is known from the one before it
 * alone, so behind a row that cannot be decoded none of the block can.
 */
class BlockRows {
  /** What the rows take unpacked. */
  readonly bytes: number
  readonly #block: Block
  readonly #container: Container
  readonly #firstRow: number
  readonly #columns: Columns
  readonly #data: AvroBytes
  /** Why no row from here on can be read. */
  #lost: string | null = null
  #decoded = 0

  /** @param unpacked why there is nothing, where there is nothing */
  constructor(unpacked: Buffer | string, block: Block, container: Container, firstRow: number, columns: Columns) {
    this.#block = block
    this.#container = container
    this.#firstRow = firstRow
    this.#columns = columns
    if (typeof unpacked === 'string') this.#lost = unpacked
    this.#data = new AvroBytes(typeof unpacked === 'string' ? Buffer.alloc(0) : unpacked)
    this.bytes = this.#data.left
  }

  /** Rows `start` to `end` (exclusive), counted from 0. To be asked for in order, and once. */
  *between(start: number, end: number): Generator<ReadRow> {
    if (this.#decoded > start) throw new Error(`row ${start} of a block is asked for behind row ${this.#decoded}`)
    while (this.#decoded < start) this.#next()
    while (this.#decoded < end) yield this.#next()
  }

  #next(): ReadRow {
    const index = this.#decoded++
    const place = { row: this.#firstRow + index, byte: this.#block.at }
    const cells = this.#lost === null ? this.#cells(index) : null
    const fault = this.#lost ?? this.#data.fault
    if (cells !== null && fault === null) return { kind: 'row', place, columns: this.#columns, ...cells }
    const reason = this.#block.kind === 'damaged' ? 'file_damaged' : 'not_decodable'
    return { kind: 'unreadable', place, reason, detail: fault ?? '' }
  }

  #cells(index: number): { values: Values; types: Types } | null {
    const data = this.#data
    const { columns } = this.#container
    data.beginRow()
    try {
      let types = this.#container.types
      const values = columns.map(({ cell, kind }, at) => {
        const text = cell(data)
        if (kind === 'mixed') types = types.with(at, declaredType(data.branch))
        return text
      })
      // Told of the last row: which of them has lost its end, nobody knows.
      if (index === this.#block.rows - 1 && data.left > 0)
        data.fault = `its block goes on for ${data.left} bytes behind it`
      return { values, types }
    } catch (error) {
      if (!(error instanceof Undecodable)) throw error
      this.#lost = `row ${index + 1} of the ${this.#block.rows} of its block cannot be decoded, nor any behind it: ${error.message}`
      return null
    }
  }
}
