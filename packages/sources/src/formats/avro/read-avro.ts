import type { Columns, Cut, Piece, ReadRow, Slice } from '@heapferry/domain'
import type { FileContent } from '../../unpacking/content.ts'
import type { Reading } from '../file-format.ts'
import { openBlock } from './block-rows.ts'
import { type Container, readContainer } from './read-container.ts'
import { type Block, scanBlocks } from './scan-blocks.ts'

/**
 * Cuts a file into chunks of about `chunkBytes` at the ends of its blocks, which tell how many rows they hold. The cuts
 * tile the file from its first block to its end, and depend on nothing but its bytes.
 *
 * @param chunkBytes null: one chunk, for what can only be read from its beginning
 * @param columns what those of the file are called; else as in the file
 */
export async function* cutAvro(
  content: FileContent,
  chunkBytes: number | null,
  columns?: Columns,
): AsyncGenerator<Cut> {
  const container = await readContainer(content)
  let start = container.firstBlockByte
  let end = start
  let firstRow = 1
  let rows = 0
  let first: ReadRow | null = null
  const cut = (): Cut => ({
    range: chunkBytes === null ? { kind: 'whole' } : { kind: 'bytes', start, end },
    firstRow,
    rows,
    first,
  })
  for await (const block of scanBlocks(content.blocks(start), { start, sync: container.sync })) {
    if (rows === 0)
      first = await firstOf(block, container, firstRow, columns ?? container.columns.map(({ name }) => name))
    rows += block.rows
    end = block.end
    // A chunk without a row would be a job for nothing: it grows until it has one.
    if (chunkBytes === null || end - start < chunkBytes || rows === 0) continue
    yield cut()
    start = end
    firstRow += rows
    rows = 0
    first = null
  }
  if (rows > 0 || end > start) yield cut()
}

/** The rows of a piece. A cursor is the number of rows before it: blocks before it are passed without unpacking them. */
export async function* readAvro(
  content: FileContent,
  columns: Columns,
  { piece, from, limits }: Reading,
): AsyncGenerator<Slice> {
  const container = await readContainer(content)
  const { start, end } = boundsOf(piece, container)
  let blockAt = 0
  let parts: Iterable<ReadRow>[] = []
  let rows = 0
  let bytes = 0
  const takeSlice = (next: number): Slice => {
    const slice = { rows: inTurn(parts), next }
    parts = []
    rows = 0
    bytes = 0
    return slice
  }
  for await (const block of scanBlocks(content.blocks(start, end), { start, sync: container.sync })) {
    const blockEnd = blockAt + block.rows
    let at = Math.max(blockAt, from.cursor)
    if (at < blockEnd) {
      const decoded = await openBlock(block, container, piece.firstRow + blockAt, columns)
      const rowBytes = decoded.bytes / block.rows
      while (at < blockEnd) {
        const room = Math.min(limits.rows - rows, Math.max(1, Math.floor((limits.bytes - bytes) / rowBytes)))
        const to = Math.min(blockEnd, at + room)
        parts.push(decoded.between(at - blockAt, to - blockAt))
        rows += to - at
        bytes += (to - at) * rowBytes
        at = to
        if (rows >= limits.rows || bytes >= limits.bytes) yield takeSlice(at)
      }
    }
    blockAt = blockEnd
  }
  if (rows > 0) yield takeSlice(blockAt)
}

function boundsOf({ range }: Piece, { firstBlockByte }: Container): { start: number; end?: number } {
  switch (range.kind) {
    case 'bytes':
      return range
    case 'whole':
      return { start: firstBlockByte }
    case 'rows':
      throw new Error('a piece of an Avro file is given in rows')
  }
}

async function firstOf(
  block: Block,
  container: Container,
  firstRow: number,
  columns: Columns,
): Promise<ReadRow | null> {
  if (block.rows === 0) return null
  const [row] = (await openBlock(block, container, firstRow, columns)).between(0, 1)
  return row ?? null
}

function* inTurn<T>(parts: readonly Iterable<T>[]): Generator<T> {
  for (const part of parts) yield* part
}
